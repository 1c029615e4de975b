#pragma once
// Attention of up to 48 query rows over one block of up to 128 cached tokens, with an online softmax: Dao et al.,
// FlashAttention, arXiv:2205.14135, algorithm 1. In units of log2, with s[r, j] = log2(e) * score[r, j]:
//
//   m' = max(m, max_j s[r, j])      w[r, j] = 2^(s[r, j] - m')      rescale = 2^(m - m')
//   d' = rescale * d + sum_j w[r, j]
//   o' = rescale * o + sum_j w[r, j] * v[j]
//
// AttendArgs describes shapes, scratch memory and aliasing. Products accumulate in f32; w is stored in the type of q (f32 or BF16), but d
// sums it before that rounding. The policies are those of the matmul kernels: 16 tokens of K are packed like 16 rows of a weight, and so
// are 16 dimensions of V.

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/softmax_rows-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

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

/// Prefetches a list of slices into the second-level cache, because the hardware prefetcher cannot know where the next page of the cache
/// is. V of the block is prefetched while K is multiplied, and K of the next block while V is multiplied. Lines are prefetched in the order
/// of memory, since one stream is faster than several. Of each kSoftmaxPart lines, one is left for the softmax between the two products. On
/// one thread of a Zen 4, decode over 32768 tokens in BF16 from memory takes 0.85 of the time of prefetching all lines in the products, and
/// 8192 tokens from the third-level cache 1.03; with a quarter of the lines 0.87 and 1.11 (November 2026).
class Prefetcher {
 public:
  static constexpr int kSoftmaxPart = 8;
  explicit Prefetcher(const PrefetchList& list) : list_(list) {}
  void next_line() {
    if (line_ >= slice_end_) {
      if (n_begun_ == list_.n_slices) return;
      line_ = list_.slices[n_begun_++];
      slice_end_ = line_ + list_.slice_bytes;
    }
    prefetch_far(line_);
    line_ += kLineBytes;
  }
  void next_lines(std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) next_line();
  }
  /// Prefetches a line, unless it is one that is left for the softmax. To be called for vector `vector` of kVectors in step `step` of a
  /// product, which reads about as many vectors as there are lines.
  template <int kVectors>
  void next_line_in_product(std::int64_t step, int vector) {
    static_assert(kSoftmaxPart % kVectors == 0);
    if (step % (kSoftmaxPart / kVectors) * kVectors + vector != kSoftmaxPart - 1) next_line();
  }
  [[nodiscard]] std::int64_t n_left() const {
    const std::int64_t n_of_slice = (list_.slice_bytes + kLineBytes - 1) / kLineBytes;
    return (list_.n_slices - n_begun_) * n_of_slice + (slice_end_ - line_) / kLineBytes;
  }

 private:
  static constexpr std::int64_t kLineBytes = 64;
  PrefetchList list_;
  int n_begun_ = 0;  ///< slices that have been begun
  const std::byte* line_ = nullptr;
  const std::byte* slice_end_ = nullptr;
};

/// The online softmax of all rows. weights: row r is written to weights + r * kBlockTokens; f32 weights may replace the scores in place.
/// rescale: receives the factor for o of each row.
template <typename Weight>
inline void weigh_rows(const AttendArgs& args, Weight* weights, float* rescale, Prefetcher& v_prefetcher,
                       Prefetcher& k_prefetcher) {
  const std::int64_t n_v_by_row = v_prefetcher.n_left() / args.n_rows + 1;
  const std::int64_t n_k_by_row = k_prefetcher.n_left() / (Prefetcher::kSoftmaxPart * args.n_rows) + 1;
  for (int first = 0; first < args.n_rows; first += kTileRows) {
    SoftmaxRows rows(args, first);
    for (int i = 0; i < rows.n(); ++i) {
      v_prefetcher.next_lines(n_v_by_row);
      rows.find_max(i);
    }
    rows.update_maxima();
    for (int i = 0; i < rows.n(); ++i) {
      k_prefetcher.next_lines(n_k_by_row);
      rows.weigh(i, weights + std::int64_t{first + i} * kBlockTokens);
      rescale[first + i] = rows.rescale(i);
    }
    rows.update_sums();
  }
}

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
      v_prefetcher.next_line_in_product<kTiles>(at / kBytes, t);
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
        k_prefetcher.next_line_in_product<kTiles>(token_tile * (kTileRows / kVec) + step, t);
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

/// Attends over the whole block. kWide as in multiply().
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
  weigh_rows(args, static_cast<typename Policy::Act*>(args.weights), rescale, v_prefetcher, k_prefetcher);
  for (int block = 0; block < n_blocks; ++block) {
    const int first = row_block_begin(args.n_rows, kRowBlock, block);
    const int n = row_block_begin(args.n_rows, kRowBlock, block + 1) - first;
    dispatch_rows(n, [&]<int kRows>() { value_rows<Policy, kRows, kWide>(args, rescale, first, k_prefetcher); });
  }
  k_prefetcher.next_lines(k_prefetcher.n_left());
}

}  // namespace secondsource::cpu::SS_CPU_ISA
