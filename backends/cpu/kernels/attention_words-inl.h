#pragma once
// The form of attention_integers-inl.h for vpmaddwd (word_products-inl.h): a number is one int16, in quads in the order 0, 2, 1, 3. Numbers
// of queries are at most 32767, or less for heads of more than 512 dimensions, whose sums of products could exceed an int32 otherwise.

#include "cpu/kernels/attention_integers-inl.h"
#include "cpu/kernels/word_products-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The largest number of a query of `head_dim` dimensions: 128 times their sum is below 2^31.
inline float largest_query_word(std::int64_t head_dim) {
  const std::int64_t largest = ((std::int64_t{1} << 24) - 1) / head_dim;
  return static_cast<float>(smaller(largest, std::int64_t{kLargestWord}));
}

/// ActType::kWords: packs rows into [k_padded / 4][n_rows][4] int16, with u as the scale of a row.
inline void pack_words(const PackArgs& args) {
  constexpr std::int64_t kQuadBytes = 4 * kNumberBytes;
  const std::int64_t step_bytes = args.n_rows * kQuadBytes;
  for (int m = 0; m < args.n_rows; ++m) {
    const float* const x = args.x + m * args.x_stride;
    const float unit = unit_of(abs_max(x, args.k), largest_query_word(args.k_padded));
    args.row_scales[m] = unit;
    std::byte* out = static_cast<std::byte*>(args.out) + m * kQuadBytes;
    for (std::int64_t k = 0; k < args.k_padded; k += 16) {
      const F32 values = k < args.k ? load_some(x + k, args.k - k) : zero();
      alignas(32) std::byte words[32];
      store_words<false>(words, to_i32(mul(values, broadcast(1.0F / unit))));
      const std::int64_t n_quads = smaller(args.k_padded - k, 16) / 4;
      interleave_vecs<kQuadBytes>(words, n_quads, step_bytes, out);
      out += n_quads * step_bytes;
    }
  }
}

/// Packs activations as ActType::kWords; other types are packed by kOthers.
template <void (*kOthers)(const PackArgs&)>
void pack_with_words(const PackArgs& args) {
  if (args.act == ActType::kWords) return pack_words(args);
  kOthers(args);
}

/// The form of queries that are packed as kWords.
struct WordForm {
  /// The sums of four rows take 8 of the 16 registers, four columns 4, and their products 4.
  static constexpr int kQueryRows = 4;

  struct Queries {
    Queries(const std::byte*, int, std::int64_t) {}
  };

  template <int kRows, int kTiles>
  [[gnu::noinline]] static void score_tiles(const AttendArgs& args, const std::byte* q, const Queries&, int first_row,
                                            int first_tile, Prefetcher& v_prefetcher) {
    I32 sums[kRows][kTiles];
    clear(sums);
    const auto* x = reinterpret_cast<const std::int16_t*>(q);
    const std::byte* const* const k = args.k_tiles + first_tile;
    const std::int64_t bytes = args.head_dim / 4 * 64;
    for (std::int64_t at = 0; at < bytes; at += 64, x += 4 * kRows) {
#pragma GCC unroll 4
      for (int t = 0; t < kTiles; ++t) {
        v_prefetcher.next_line_in_product<kTiles>(at / 64, t);
        const ColumnPairs tokens(load_i32(k[t] + at));
#pragma GCC unroll 4
        for (int m = 0; m < kRows; ++m) add_products(sums[m][t], tokens, x + 4 * m);
      }
    }
    store_scores<kRows, kTiles>(args, first_row, first_tile, [&](int m, int t) { return to_f32(sums[m][t]); });
  }

  static float store_weights(const float* weights, int n, std::byte* words) {
    const float unit = unit_of(abs_max(weights, n), float{kLargestWord});
    const F32 per_unit = broadcast(1.0F / unit);
    for_vectors(0, n,
                [&](int i) { store_words<false>(words + kNumberBytes * i, to_i32(mul(load(weights + i), per_unit))); });
    return unit;
  }

  template <int kRows, int kTiles>
  [[gnu::noinline]] static void value_tiles(const AttendArgs& args, const float* rescale, const float* units,
                                            int first_row, int first_dim_tile, Prefetcher& k_prefetcher) {
    I32 sums[kRows][kTiles];
    clear(sums);
    const std::byte* weights = static_cast<const std::byte*>(args.weights) + first_row * kWeightRowBytes;
    for (int token_tile = 0; token_tile < args.n_tiles; ++token_tile) {
      const std::byte* v = args.v_tiles[token_tile] + first_dim_tile * args.v_dim_stride;
      for (int step = 0; step < kTileRows / 4; ++step, v += 64, weights += 4 * kNumberBytes) {
#pragma GCC unroll 4
        for (int t = 0; t < kTiles; ++t) {
          k_prefetcher.next_line_in_product<kTiles>(token_tile * (kTileRows / 4) + step, t);
          const ColumnPairs values(load_i32(v + t * args.v_dim_stride));
#pragma GCC unroll 4
          for (int m = 0; m < kRows; ++m) {
            add_products(sums[m][t], values, reinterpret_cast<const std::int16_t*>(weights + m * kWeightRowBytes));
          }
        }
      }
    }
    add_values<kRows, kTiles>(args, rescale, units, first_row, first_dim_tile,
                              [&](int m, int t) { return to_f32(sums[m][t]); });
  }

 private:
  template <int kRows, int kTiles>
  [[gnu::always_inline]] static void clear(I32 (&sums)[kRows][kTiles]) {
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
      for (int t = 0; t < kTiles; ++t) sums[m][t] = zero_i32();
    }
  }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
