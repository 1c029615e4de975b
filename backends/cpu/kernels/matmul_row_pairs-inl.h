#pragma once
// Matmul by the Armv8.6 instructions that multiply matrices: bfmmla multiplies two rows of four BF16 activations with two
// rows of four weights, smmla two rows of eight int8 with two of eight, each into a 2 x 2 block of sums. bfdot and usdot do
// half as many multiply-adds. Formulas, shapes and aliasing are those of matmul-inl.h and matmul_quantized_groups-inl.h,
// and so are the tiles, in which each 32-bit lane of a vector belongs to one weight row. When the lanes of two successive
// vectors alternate, each 64 bits of them belong to one weight row, as the instructions need it. Such an operand serves all
// rows of a block. Activations are packed with vecs of 8 bytes, so that those of two adjacent rows are one operand as they
// lie in memory.
//
// A policy of row pairs:
//
//   OneRow                    the policy of matmul-inl.h by which a single row is multiplied, since it has no partner
//   Acc, kVec                 a register set of sums; the columns of two vectors of a tile
//   Rows                      the activations of two rows: load() reads those of adjacent rows, load_last() those of a row
//                             without a partner and zeros
//   alternate_low             the lanes of two vectors in alternation, of the weight rows in the low half of each register
//   alternate_high            the same for the weight rows in the high half of each register
//   step(acc, rows, w)        acc += rows * w in 2 x 2 blocks
//   init, merge               a zero accumulator; the sum of two
//   first_row, second_row     16 f32 results from the accumulators of the low and the high halves

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_groups-inl.h"
#include "cpu/kernels/matmul_quantized_groups-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The sums of kRows rows with one tile. An odd number has a last pair whose second row is zero and never stored. The functions are
/// always_inline because a call would keep the sums in memory.
template <typename Policy, int kRows>
struct RowPairSums {
  using Acc = typename Policy::Acc;
  using Act = typename Policy::OneRow::Act;
  static constexpr int kPairs = (kRows + 1) / 2;
  Acc low[kPairs], high[kPairs];

  [[gnu::always_inline]] void clear() {
#pragma GCC unroll 6
    for (int p = 0; p < kPairs; ++p) low[p] = high[p] = Policy::init();
  }
  /// Adds the products of kVec columns: two vectors of a tile times the activations at x, [kRows][kVec].
  [[gnu::always_inline]] void add(const I32& first, const I32& second, const Act* x) {
    typename Policy::Rows rows[kPairs];
#pragma GCC unroll 6
    for (int p = 0; p < kPairs; ++p) {
      const Act* const at = x + 2 * p * Policy::kVec;
      rows[p] = 2 * p + 1 < kRows ? Policy::load(at) : Policy::load_last(at);
    }
    const I32 w_low = Policy::alternate_low(first, second);
#pragma GCC unroll 6
    for (int p = 0; p < kPairs; ++p) low[p] = Policy::step(low[p], rows[p], w_low);
    const I32 w_high = Policy::alternate_high(first, second);
#pragma GCC unroll 6
    for (int p = 0; p < kPairs; ++p) high[p] = Policy::step(high[p], rows[p], w_high);
  }
  [[gnu::always_inline]] void merge(const RowPairSums& other) {
#pragma GCC unroll 6
    for (int p = 0; p < kPairs; ++p) {
      low[p] = Policy::merge(low[p], other.low[p]);
      high[p] = Policy::merge(high[p], other.high[p]);
    }
  }
  [[nodiscard, gnu::always_inline]] F32 row(int m) const {
    return m % 2 == 0 ? Policy::first_row(low[m / 2], high[m / 2]) : Policy::second_row(low[m / 2], high[m / 2]);
  }
};

/// kRows rows times one tile. kPrefetches: also prefetches args.next_a and args.next_tiles. Few rows have several sets of
/// sums, each for every kChains-th step, as in multiply_few_rows().
template <typename Policy, int kRows, bool kPrefetches>
void multiply_row_pairs_of_tile(const TileArgs& args, std::int64_t tile) {
  using Sums = RowPairSums<Policy, kRows>;
  constexpr int kChains = chains_per_row<2 * Sums::kPairs, true>();
  constexpr int kVectorBytes = 64;
  constexpr int kBytes = 2 * kVectorBytes;
  constexpr int kValues = kRows * Policy::kVec;
  const std::byte* w = args.tiles + tile * args.tile_bytes;
  const auto* x = static_cast<const typename Sums::Act*>(args.a);
  const auto* next_x = args.next_a == nullptr ? x : static_cast<const typename Sums::Act*>(args.next_a);
  const std::byte* next_tiles = args.next_tiles == nullptr ? w : args.next_tiles;
  Sums sums[kChains];
#pragma GCC unroll 4
  for (int i = 0; i < kChains; ++i) sums[i].clear();
  const std::int64_t n_steps = args.k / Policy::kVec;
  std::int64_t step = 0;
  for (; step + kChains <= n_steps; step += kChains) {
#pragma GCC unroll 4
    for (int i = 0; i < kChains; ++i, w += kBytes, x += kValues) {
      if constexpr (kPrefetches) {
        prefetch_far(next_x);
        prefetch_far(next_tiles);
        next_x += kValues;
        next_tiles += args.next_tiles_step;
      }
      prefetch(w + kPrefetchBytes);
      prefetch(w + kPrefetchBytes + kVectorBytes);
      sums[i].add(load_i32(w), load_i32(w + kVectorBytes), x);
    }
  }
  for (; step < n_steps; ++step, w += kBytes, x += kValues) {
    sums[0].add(load_i32(w), load_i32(w + kVectorBytes), x);
  }
  // A tile may end with a single vector, whose columns are half of the last ones of the activations.
  if (args.k % Policy::kVec != 0) sums[0].add(load_i32(w), zero_i32(), x);
#pragma GCC unroll 4
  for (int i = 1; i < kChains; ++i) sums[0].merge(sums[i]);
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) store_sum(args, args.c + m * args.c_stride + tile * kTileRows, sums[0].row(m));
}

/// The matmul of one policy of row pairs.
template <typename Policy>
void multiply_row_pairs(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() {
    if constexpr (kRows == 1) {
      multiply_few_rows<typename Policy::OneRow>(args);
    } else {
      // As in multiply_rows(), smaller blocks are never one of several.
      constexpr bool kMayPrefetch = 2 * kRows >= kRowBlock;
      std::int64_t tile = 0;
      if (kMayPrefetch && (args.next_a != nullptr || args.next_tiles != nullptr)) {
        multiply_row_pairs_of_tile<Policy, kRows, kMayPrefetch>(args, tile++);
      }
      for (; tile < args.n_tiles; ++tile) multiply_row_pairs_of_tile<Policy, kRows, false>(args, tile);
    }
  });
}

/// The same with a scale for each group of 32 columns: kRows rows times all tiles.
template <typename Policy, typename Groups, int kRows>
void multiply_row_pair_groups_of(const TileArgs& args) {
  using Sums = RowPairSums<Policy, kRows>;
  constexpr int kVectorsPerStep = 2 / Groups::kQuads;
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const typename Sums::Act*>(args.a);
    F32 total[kRows];
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) total[m] = zero();
    for (std::int64_t k = 0; k < args.k; k += kGroupColumns, w += Groups::kBytes) {
      Sums sums;
      sums.clear();
      prefetch(w + kPrefetchBytes + 64 * Groups::kVectors);
#pragma GCC unroll 4
      for (int vector = 0; vector < Groups::kVectors; vector += kVectorsPerStep, x += kRows * Policy::kVec) {
        const std::byte* const at = w + vector * 64;
        prefetch(at + kPrefetchBytes);
        if constexpr (kVectorsPerStep == 2) {
          prefetch(at + kPrefetchBytes + 64);
          sums.add(load_i32(at), load_i32(at + 64), x);
        } else {
          I32 quads[2];
          Groups::load_quads(at, quads);
          sums.add(quads[0], quads[1], x);
        }
      }
      const F32 scale = Groups::load_scale(w + 64 * Groups::kVectors);
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) total[m] = fma(sums.row(m), scale, total[m]);
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) store(args.c + m * args.c_stride + tile * kTileRows, total[m]);
  }
}

template <typename Policy, typename Groups>
void multiply_row_pair_groups(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() {
    if constexpr (kRows == 1) {
      multiply_quantized_group<typename Policy::OneRow, Groups, 1>(args);
    } else {
      multiply_row_pair_groups_of<Policy, Groups, kRows>(args);
    }
  });
}

}  // namespace secondsource::cpu::SS_CPU_ISA
