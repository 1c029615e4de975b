#pragma once
// Attention over an int8 cache by integer instructions. Formulas, shapes and aliasing are those of attention-inl.h. K and V are multiplied
// as they are stored. Queries and softmax weights become whole numbers of 16 bits times a unit:
//
//   q         = u n + e,   u = max|q| of the row / the largest n
//   w v_scale = u n + e,   u = its maximum in row and block / the largest n
//
// |e| is at most about 2^-16 of the maximum; for heads of more than 512 dimensions vpmaddwd needs larger units. For comparison, rounding to
// BF16 changes each number by up to 2^-8 of itself. Each block of tokens has a maximum of its own, so that a token with a large weight does
// not make the weights of other blocks coarser. Sums of products are exact in int32.
//
// A class, here called Form, says how the numbers are stored and multiplied: DigitPairForm stores two bytes and multiplies by vpdpbusd
// (attention_digits-inl.h), and WordForm stores an int16 and multiplies by vpmaddwd (attention_words-inl.h). Its members are
//
//   kQueryRows                            the number of query rows that are multiplied at once
//   Queries(q, n_rows, head_dim)          a class for what is computed once for a row block; q points to its packed queries
//   score_tiles<kRows, kTiles>(...)       computes what score_tiles() of attention-inl.h computes, times the unit of each row
//   store_weights(weights, n, numbers)    stores n weights, a multiple of 16 and none below 0; returns their unit, NaN if one is NaN
//   value_tiles<kRows, kTiles>(...)       computes what value_tiles() of attention-inl.h computes

#include "cpu/kernels/attention-inl.h"
#include "cpu/kernels/row_kernels-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Bytes of a number of 16 bits, and of the weights of a row.
inline constexpr std::int64_t kNumberBytes = 2;
inline constexpr std::int64_t kWeightRowBytes = kNumberBytes * kBlockTokens;

/// scores = unit of the row * sum_of(m, t), for row first_row + m and the 16 tokens of tile first_tile + t.
template <int kRows, int kTiles, typename SumOf>
[[gnu::always_inline]] inline void store_scores(const AttendArgs& args, int first_row, int first_tile,
                                                const SumOf& sum_of) {
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
    const F32 unit = broadcast(args.q_scales[first_row + m]);
    float* const out = args.scores + std::int64_t{first_row + m} * kBlockTokens + first_tile * kTileRows;
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) store(out + t * kTileRows, mul(sum_of(m, t), unit));
  }
}

/// o = rescale * o + unit of the row's weights * sum_of(m, t), for row first_row + m and the 16 dimensions of tile first_dim_tile + t.
template <int kRows, int kTiles, typename SumOf>
[[gnu::always_inline]] inline void add_values(const AttendArgs& args, const float* rescale, const float* units,
                                              int first_row, int first_dim_tile, const SumOf& sum_of) {
  const std::int64_t o_stride = std::int64_t{args.n_dim_tiles} * kTileRows;
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
    const F32 unit = broadcast(units[first_row + m]);
    const F32 factor = broadcast(rescale[first_row + m]);
    float* const out = args.state.o + (first_row + m) * o_stride + first_dim_tile * kTileRows;
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) {
      store(out + t * kTileRows, fma(load(out + t * kTileRows), factor, mul(sum_of(m, t), unit)));
    }
  }
}

/// Attends over the whole block, for queries packed as the form packs them.
template <typename Form>
inline void attend_by_integers(const AttendArgs& args) {
  const int n_blocks = (args.n_rows + Form::kQueryRows - 1) / Form::kQueryRows;
  const auto for_row_blocks = [&](const auto& body) {
    for (int block = 0; block < n_blocks; ++block) {
      const int first = row_block_begin(args.n_rows, Form::kQueryRows, block);
      const int n = row_block_begin(args.n_rows, Form::kQueryRows, block + 1) - first;
      dispatch_rows(n, [&]<int kRows>() {
        if constexpr (kRows <= Form::kQueryRows) body.template operator()<kRows>(first);
      });
    }
  };
  Prefetcher v_prefetcher(args.v_prefetch);
  for_row_blocks([&]<int kRows>(int first) {
    const std::byte* const q = static_cast<const std::byte*>(args.q) + kNumberBytes * first * args.head_dim;
    const typename Form::Queries queries(q, kRows, args.head_dim);
    dispatch_tiles<tiles_per_call<kRows, false>()>(args.n_tiles, [&]<int kTiles>(int tile) {
      Form::template score_tiles<kRows, kTiles>(args, q, queries, first, tile, v_prefetcher);
    });
  });
  Prefetcher k_prefetcher(args.k_prefetch);
  float rescale[kMaxQueryRows];
  float units[kMaxQueryRows];
  weigh_rows(args, args.scores, rescale, v_prefetcher, k_prefetcher);
  for (int row = 0; row < args.n_rows; ++row) {
    units[row] = Form::store_weights(args.scores + std::int64_t{row} * kBlockTokens, args.n_tiles * kTileRows,
                                     static_cast<std::byte*>(args.weights) + row * kWeightRowBytes);
  }
  for_row_blocks([&]<int kRows>(int first) {
    dispatch_tiles<tiles_per_call<kRows, false>()>(args.n_dim_tiles, [&]<int kTiles>(int tile) {
      Form::template value_tiles<kRows, kTiles>(args, rescale, units, first, tile, k_prefetcher);
    });
  });
  k_prefetcher.next_lines(k_prefetcher.n_left());
}

}  // namespace secondsource::cpu::SS_CPU_ISA
