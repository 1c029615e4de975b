#pragma once
// Attention of up to 48 query rows over one block of up to 128 cached tokens, with an online softmax: Dao et al.,
// FlashAttention, arXiv:2205.14135, algorithm 1. In units of log2, with s[r, j] = log2(e) * score[r, j]:
//
//   m' = max(m, max_j s[r, j])      w[r, j] = 2^(s[r, j] - m')      rescale = 2^(m - m')
//   d' = rescale * d + sum_j w[r, j]
//   o' = rescale * o + sum_j w[r, j] * v[j]
//
// Shapes, scratch memory and aliasing: AttendArgs. Products accumulate in f32; w is stored in the type of q (f32 or BF16),
// d sums it before that rounding. The policies are those of the matmul kernels: 16 tokens of K are packed like 16 rows of a
// weight, and so are 16 dimensions of V.

#include "cpu/kernels/math-inl.h"
#include "cpu/kernels/matmul-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

inline constexpr float kLog2E = 1.44269504F;

/// Tiles multiplied at once: as many as fit in registers, since consecutive additions to one accumulator wait for each
/// other. kWide as in multiply().
template <int kRows, bool kWide>
constexpr int tiles_per_call() {
  return chains_per_row<kRows, kWide>();
}

/// Calls body.template operator()<n>(tile) for groups of n = kTiles tiles, then for the remaining ones in smaller groups.
template <int kTiles, typename Body>
inline void dispatch_tiles(int n_tiles, const Body& body) {
  int tile = 0;
  if constexpr (kTiles >= 4) {
    for (; tile + 4 <= n_tiles; tile += 4) body.template operator()<4>(tile);
  }
  if constexpr (kTiles >= 2) {
    for (; tile + 2 <= n_tiles; tile += 2) body.template operator()<2>(tile);
  }
  for (; tile < n_tiles; ++tile) body.template operator()<1>(tile);
}

/// Prefetches a list into the second-level cache, one cache line per call, because the hardware prefetcher cannot know where
/// the next page of the cache is. V of the block is prefetched while K is multiplied, and K of the next block while V is; in
/// the order of memory, since one stream is faster than several.
class Prefetcher {
 public:
  explicit Prefetcher(const PrefetchList& list) : list_(list) {}
  void next_line() {
    if (slice_ == list_.n_slices) return;
    prefetch_far(list_.slices[slice_] + at_);
    at_ += 64;
    if (at_ < list_.slice_bytes) return;
    at_ = 0;
    ++slice_;
  }
  void next_lines(std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) next_line();
  }
  /// Lines in each of `n` equal parts of the list.
  [[nodiscard]] std::int64_t lines_per_part(int n) const { return list_.n_slices * list_.slice_bytes / (64 * n) + 1; }

 private:
  PrefetchList list_;
  int slice_ = 0;
  std::int64_t at_ = 0;
};

/// scores[first_row + m, 16 * (first_tile + t) + j] = q . k for kRows rows and kTiles tiles of 16 tokens, not yet scaled.
template <typename Policy, int kRows, int kTiles>
inline void score_tiles(const AttendArgs& args, const typename Policy::Act* q, int first_row, int first_tile,
                        Prefetcher& v_prefetcher) {
  constexpr int kVec = Policy::kVec;
  constexpr int kBytes = Policy::kStepBytes;
  typename Policy::Acc acc[kRows][kTiles];
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) acc[m][t] = Policy::init();
  }
  const std::byte* const* const k = args.k_tiles + first_tile;
  const std::int64_t bytes = args.head_dim / kVec * kBytes;
  for (std::int64_t at = 0; at < bytes; at += kBytes, q += kRows * kVec) {
    typename Policy::Weights tokens[kTiles];
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) {
      v_prefetcher.next_line();
      tokens[t] = Policy::decode(k[t] + at);
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
      for (int t = 0; t < kTiles; ++t) Policy::step(acc[m][t], tokens[t], q + m * kVec);
    }
  }
  float* out = args.scores + static_cast<std::int64_t>(first_row) * kBlockTokens + first_tile * kTileRows;
#pragma GCC unroll 4
  for (int t = 0; t < kTiles; ++t) {
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) store(out + m * kBlockTokens + t * kTileRows, Policy::result(acc[m][t], nullptr));
  }
}

template <typename Policy, int kRows, bool kWide>
void score_rows(const AttendArgs& args, int first_row, Prefetcher& v_prefetcher) {
  const auto* q = static_cast<const typename Policy::Act*>(args.q) + first_row * args.head_dim;
  dispatch_tiles<tiles_per_call<kRows, kWide>()>(args.n_tiles, [&]<int kTiles>(int tile) {
    score_tiles<Policy, kRows, kTiles>(args, q, first_row, tile, v_prefetcher);
  });
}

/// Turns one row of scores into softmax weights and updates its m and d. Returns `rescale`, the factor for the row's o.
template <typename Weight>
inline float softmax_row(const AttendArgs& args, int row, Weight* weights) {
  float* scores = args.scores + row * kBlockTokens;
  const int n = args.n_tiles * kTileRows;
  const std::int64_t first = args.first_visible[row] - args.first_token;
  const std::int64_t last = args.last_visible[row] - args.first_token;
  if (last < 0 || first >= n || last < first) {
    __builtin_memset(weights, 0, static_cast<std::size_t>(n) * sizeof(Weight));
    return 1.0F;
  }
  if (args.k_scales != nullptr) {
    for (int i = 0; i < n; i += 16) store(scores + i, mul(load(scores + i), load(args.k_scales[i / 16])));
  }
  float factor = args.scale * kLog2E;
  if (args.softcap > 0.0F || !(factor > 0.0F)) {
    const F32 scale = broadcast(args.scale);
    for (int i = 0; i < n; i += 16) {
      store(scores + i, mul(broadcast(kLog2E), soft_cap(mul(load(scores + i), scale), args.softcap)));
    }
    factor = 1.0F;
  }
  for (std::int64_t i = 0; i < first; ++i) scores[i] = -__builtin_inff();
  for (std::int64_t i = last + 1; i < n; ++i) scores[i] = -__builtin_inff();
  F32 lane_max = load(scores);
  for (int i = 16; i < n; i += 16) lane_max = max(lane_max, load(scores + i));
  const float block_max = reduce_max(lane_max) * factor;
  const float row_max = block_max > args.state.m[row] ? block_max : args.state.m[row];
  F32 sum = zero();
  const F32 scale = broadcast(factor);
  const F32 shift = broadcast(-row_max);
  for (int i = 0; i < n; i += 16) {
    F32 weight = exponential2(fma(load(scores + i), scale, shift));
    sum = add(sum, weight);
    if (args.v_scales != nullptr) weight = mul(weight, load(args.v_scales[i / 16]));
    if constexpr (sizeof(Weight) == 2) {
      store_bf16(weights + i, weight);
    } else {
      store(weights + i, weight);
    }
  }
  float rescale = 1.0F;
  if (row_max != args.state.m[row]) {
    float lanes[16];
    store(lanes, exponential2(broadcast(args.state.m[row] - row_max)));
    rescale = lanes[0];
  }
  args.state.m[row] = row_max;
  args.state.d[row] = args.state.d[row] * rescale + reduce_add(sum);
  return rescale;
}

/// o = rescale * o + weights . V for kRows rows and kTiles tiles of 16 dimensions.
template <typename Policy, int kRows, int kTiles>
inline void value_tiles(const AttendArgs& args, const float* rescale, int first_row, int first_dim_tile,
                        Prefetcher& k_prefetcher) {
  constexpr int kVec = Policy::kVec;
  constexpr int kBytes = Policy::kStepBytes;
  const auto* weights = static_cast<const typename Policy::Act*>(args.weights) + first_row * kBlockTokens;
  typename Policy::Acc acc[kRows][kTiles];
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) acc[m][t] = Policy::init();
  }
  for (int token_tile = 0; token_tile < args.n_tiles; ++token_tile, weights += kTileRows) {
    const std::byte* v = args.v_tiles[token_tile] + first_dim_tile * args.v_dim_stride;
    for (int step = 0; step < kTileRows / kVec; ++step) {
      typename Policy::Weights values[kTiles];
#pragma GCC unroll 4
      for (int t = 0; t < kTiles; ++t) {
        k_prefetcher.next_line();
        values[t] = Policy::decode(v + t * args.v_dim_stride + step * kBytes);
      }
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
        for (int t = 0; t < kTiles; ++t) {
          Policy::step(acc[m][t], values[t], weights + m * kBlockTokens + step * kVec);
        }
      }
    }
  }
  const std::int64_t o_stride = static_cast<std::int64_t>(args.n_dim_tiles) * kTileRows;
#pragma GCC unroll 4
  for (int t = 0; t < kTiles; ++t) {
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) {
      float* const out = args.state.o + (first_row + m) * o_stride + (first_dim_tile + t) * kTileRows;
      store(out, fma(load(out), broadcast(rescale[first_row + m]), Policy::result(acc[m][t], nullptr)));
    }
  }
}

template <typename Policy, int kRows, bool kWide>
void value_rows(const AttendArgs& args, const float* rescale, int first_row, Prefetcher& k_prefetcher) {
  dispatch_tiles<tiles_per_call<kRows, kWide>()>(args.n_dim_tiles, [&]<int kTiles>(int tile) {
    value_tiles<Policy, kRows, kTiles>(args, rescale, first_row, tile, k_prefetcher);
  });
}

/// The whole block. kWide as in multiply().
template <typename Policy, bool kWide = true>
void attend(const AttendArgs& args) {
  const int n_blocks = (args.n_rows + kRowBlock - 1) / kRowBlock;
  Prefetcher v_prefetcher(args.v_prefetch);
  for (int block = 0; block < n_blocks; ++block) {
    const int first = row_block_begin(args.n_rows, kRowBlock, block);
    const int n = row_block_begin(args.n_rows, kRowBlock, block + 1) - first;
    dispatch_rows(n, [&]<int kRows>() { score_rows<Policy, kRows, kWide>(args, first, v_prefetcher); });
  }
  Prefetcher k_prefetcher(args.k_prefetch);
  float rescale[kMaxQueryRows];
  auto* weights = static_cast<typename Policy::Act*>(args.weights);
  for (int row = 0; row < args.n_rows; ++row) rescale[row] = softmax_row(args, row, weights + row * kBlockTokens);
  for (int block = 0; block < n_blocks; ++block) {
    const int first = row_block_begin(args.n_rows, kRowBlock, block);
    const int n = row_block_begin(args.n_rows, kRowBlock, block + 1) - first;
    dispatch_rows(n, [&]<int kRows>() { value_rows<Policy, kRows, kWide>(args, rescale, first, k_prefetcher); });
  }
}

}  // namespace secondsource::cpu::SS_CPU_ISA
