#pragma once
// Register-blocked matmul of packed activations and packed weight tiles, for one row and for many:
//
//   c[m, n] = sum_k a[m, k] * w[n, k]
//
// a: [k / vec][n_rows][vec] in Policy::Act. w: tiles of 16 rows, [k / vec][16][vec], kStepBytes per step, 64-byte aligned.
// c: [n_rows, 16 * n_tiles] f32, not aligned, overlapping neither. Accumulated in Policy::Acc: f32, or int32 for quantized activations. For
// few rows there are kChains accumulators per tile and row, each for every kChains-th step, which are merged at the end; otherwise the
// order is that of k. Weights are decoded in registers, once for all rows of a block, so that no decoded copy is stored.
//
// A policy is one pair of weight and activation formats:
//
//   kVec, kStepBytes      columns and bytes of one step of a tile
//   decode(tile)          the weights of one step in registers
//   step(acc, w, a)       acc += w * a for the kVec activations of one row
//   init, merge, result   a zero accumulator; the sum of two; 16 f32 results

#include "cpu/kernels/simd-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

// How far ahead of the current step weights are prefetched: 64 lines, with which one stream reaches the read bandwidth
// of a Zen 4 (November 2026).
inline constexpr std::int64_t kPrefetchBytes = 4096;

/// f32 weights. Tile: [k][16].
struct PlainF32 {
  using Act = float;
  using Acc = F32;
  using Weights = F32;
  static constexpr int kVec = 1;
  static constexpr int kStepBytes = 64;
  [[gnu::always_inline]] static void prefetch_ahead(const std::byte* p) { prefetch(p + kPrefetchBytes); }
  static Weights decode(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
  static Acc init() { return zero(); }
  static void step(Acc& acc, const Weights& w, const Act* x) { acc = fma(w, broadcast(*x), acc); }
  static Acc merge(const Acc& x, const Acc& y) { return add(x, y); }
  static F32 result(const Acc& acc, const std::int32_t*) { return acc; }
};

/// FP16 weights widened in registers, f32 activations. Tile: [k][16].
struct WidenF16 : PlainF32 {
  static constexpr int kStepBytes = 32;
  static Weights decode(const std::byte* p) { return load_f16(p); }
};

/// BF16 weights widened in registers, f32 activations. Tile: [k / 2][16][2].
struct WidenBf16 : PlainF32 {
  static constexpr int kVec = 2;
  static constexpr int kStepBytes = 64;
  struct Weights {
    F32 even, odd;
  };
  static Weights decode(const std::byte* p) {
    const I32 pairs = load_i32(p);
    return {bf16_even(pairs), bf16_odd(pairs)};
  }
  static void step(Acc& acc, const Weights& w, const Act* x) {
    acc = fma(w.odd, broadcast(x[1]), fma(w.even, broadcast(x[0]), acc));
  }
};

/// int8 weights widened in registers, f32 activations; the row's scale comes in the epilogue. Tile: [k / 4][16][4].
struct WidenInt8 : PlainF32 {
  static constexpr int kVec = 4;
  static constexpr int kStepBytes = 64;
  struct Weights {
    F32 k0, k1, k2, k3;
  };
  /// Column kColumn (0 to 3) of 16 rows.
  template <int kColumn>
  static F32 column(const I32& quads) {
    return field<8 * kColumn, 8>(quads);
  }
  static Weights decode(const std::byte* p) {
    const I32 quads = load_i32(p);
    return {column<0>(quads), column<1>(quads), column<2>(quads), column<3>(quads)};
  }
  static void step(Acc& acc, const Weights& w, const Act* x) {
    acc = fma(w.k1, broadcast(x[1]), fma(w.k0, broadcast(x[0]), acc));
    acc = fma(w.k3, broadcast(x[3]), fma(w.k2, broadcast(x[2]), acc));
  }
};

/// E4M3 weights widened in registers, exactly; the row's scale comes in the epilogue. Tile: [k / 4][16][4].
struct WidenFp8 : WidenInt8 {
  template <int kColumn>
  static F32 column(const I32& quads) {
    return e4m3_at<8 * kColumn>(quads);
  }
  static Weights decode(const std::byte* p) {
    const I32 quads = load_i32(p);
    return {column<0>(quads), column<1>(quads), column<2>(quads), column<3>(quads)};
  }
};

/// int8 weights, int8 activations in 16 bits: exact in int32 up to 2^16 columns.
struct Int8ByI16 {
  using Act = std::int16_t;
  using Acc = I32;
  using Weights = I32;
  static constexpr int kActOffset = 0;  ///< stored activation minus its value
  static constexpr int kVec = 4;
  static constexpr int kStepBytes = 64;
  [[gnu::always_inline]] static void prefetch_ahead(const std::byte* p) { prefetch(p + kPrefetchBytes); }
  static Weights decode(const std::byte* p) { return load_i32(p); }
  static Acc init() { return zero_i32(); }
  static void step(Acc& acc, const Weights& w, const Act* x) { acc = dot_int8_i16(acc, w, x); }
  static Acc merge(const Acc& x, const Acc& y) { return add_i32(x, y); }
  static F32 result(const Acc& acc, const std::int32_t*) { return to_f32(acc); }
};

/// Stores 16 results, or adds them to what c holds.
inline void store_sum(const TileArgs& args, float* c, const F32& sum) {
  store(c, args.accumulate ? add(sum, load(c)) : sum);
}

/// How many accumulators each of kRows rows can have in registers. Without kWide only half as many fit, because an accumulator takes two
/// registers or the decoded weights take several.
template <int kRows, bool kWide>
constexpr int chains_per_row() {
  constexpr int kMost = kWide ? kAccumulators : kAccumulators / 2;
  return kRows * 4 <= kMost ? 4 : kRows * 2 <= kMost ? 2 : 1;
}

/// One tile at a time. Each row has kChains independent accumulators, which hide the latency of the multiply-add.
template <typename Policy, int kRows = 1, int kChains = 4>
void multiply_few_rows(const TileArgs& args) {
  using Act = typename Policy::Act;
  constexpr int kBytes = Policy::kStepBytes;
  constexpr int kVec = Policy::kVec;
  const std::int64_t n_steps = args.k / kVec;
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const Act*>(args.a);
    typename Policy::Acc acc[kChains][kRows];
#pragma GCC unroll 16
    for (int i = 0; i < kChains * kRows; ++i) acc[i / kRows][i % kRows] = Policy::init();
    std::int64_t step = 0;
    for (; step + kChains <= n_steps; step += kChains) {
#pragma GCC unroll 4
      for (int i = 0; i < kChains; ++i, w += kBytes, x += kRows * kVec) {
        Policy::prefetch_ahead(w);
        const typename Policy::Weights weights = Policy::decode(w);
#pragma GCC unroll 6
        for (int m = 0; m < kRows; ++m) Policy::step(acc[i][m], weights, x + m * kVec);
      }
    }
    for (; step < n_steps; ++step, w += kBytes, x += kRows * kVec) {
      const typename Policy::Weights weights = Policy::decode(w);
#pragma GCC unroll 6
      for (int m = 0; m < kRows; ++m) Policy::step(acc[0][m], weights, x + m * kVec);
    }
    const std::int32_t* row_sums = args.row_sums == nullptr ? nullptr : args.row_sums + tile * kTileRows;
#pragma GCC unroll 6
    for (int m = 0; m < kRows; ++m) {
      typename Policy::Acc sum = acc[0][m];
#pragma GCC unroll 4
      for (int i = 1; i < kChains; ++i) sum = Policy::merge(sum, acc[i][m]);
      store_sum(args, args.c + m * args.c_stride + tile * kTileRows, Policy::result(sum, row_sums));
    }
  }
}

/// kRows rows times kTiles tiles. kPrefetches: also prefetches args.next_a and args.next_tiles.
template <typename Policy, int kRows, int kTiles, bool kPrefetches = false>
inline void multiply_tiles(const TileArgs& args, std::int64_t first_tile) {
  using Act = typename Policy::Act;
  constexpr int kBytes = Policy::kStepBytes;
  constexpr int kVec = Policy::kVec;
  const std::byte* w[kTiles];
  for (int t = 0; t < kTiles; ++t) {
    // The last of an odd number of tiles is computed twice and stored once, which saves a second instantiation.
    const std::int64_t tile = first_tile + t < args.n_tiles ? first_tile + t : args.n_tiles - 1;
    w[t] = args.tiles + tile * args.tile_bytes;
  }
  typename Policy::Acc acc[kRows][kTiles];
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 2
    for (int t = 0; t < kTiles; ++t) acc[m][t] = Policy::init();
  }
  const auto* x = static_cast<const Act*>(args.a);
  const auto* next_x = args.next_a == nullptr ? x : static_cast<const Act*>(args.next_a);
  const std::byte* next_tiles = args.next_tiles == nullptr ? w[0] : args.next_tiles;
  const std::int64_t bytes = args.k / kVec * kBytes;
  for (std::int64_t at = 0; at < bytes; at += kBytes, x += kRows * kVec) {
    if constexpr (kPrefetches) {
      prefetch_far(next_x);
      prefetch_far(next_tiles);
      next_x += kRows * kVec;
      next_tiles += args.next_tiles_step;
    }
    typename Policy::Weights weights[kTiles];
#pragma GCC unroll 2
    for (int t = 0; t < kTiles; ++t) {
      Policy::prefetch_ahead(w[t] + at);
      weights[t] = Policy::decode(w[t] + at);
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 2
      for (int t = 0; t < kTiles; ++t) Policy::step(acc[m][t], weights[t], x + m * kVec);
    }
  }
#pragma GCC unroll 2
  for (int t = 0; t < kTiles; ++t) {
    if (first_tile + t >= args.n_tiles) break;
    const std::int64_t column = (first_tile + t) * kTileRows;
    const std::int32_t* row_sums = args.row_sums == nullptr ? nullptr : args.row_sums + column;
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) {
      store_sum(args, args.c + m * args.c_stride + column, Policy::result(acc[m][t], row_sums));
    }
  }
}

/// All tiles. From kPairFromRows rows on, kWide policies multiply two tiles at once; the accumulators or weights of the
/// others leave no registers for that.
template <typename Policy, int kRows, bool kWide>
void multiply_rows(const TileArgs& args) {
  constexpr int kTiles = kWide && kRows >= kPairFromRows ? 2 : 1;
  // next_a is set only when there are several blocks, which are then at least half full: smaller kernels never prefetch.
  constexpr bool kMayPrefetch = 2 * kRows >= kRowBlock;
  std::int64_t tile = 0;
  if (kMayPrefetch && (args.next_a != nullptr || args.next_tiles != nullptr)) {
    multiply_tiles<Policy, kRows, kTiles, kMayPrefetch>(args, 0);
    tile = kTiles;
  }
  for (; tile < args.n_tiles; tile += kTiles) multiply_tiles<Policy, kRows, kTiles>(args, tile);
}

/// Calls body.template operator()<n>() for n = 1 .. kRowBlock.
template <typename Body>
inline void dispatch_rows(int n, const Body& body) {
  if (n == 1) return body.template operator()<1>();
  if (n == 2) return body.template operator()<2>();
  if (n == 3) return body.template operator()<3>();
  if constexpr (kRowBlock >= 6) {
    if (n == 4) return body.template operator()<4>();
    if (n == 5) return body.template operator()<5>();
    if (n == 6) return body.template operator()<6>();
  }
  if constexpr (kRowBlock >= 12) {
    if (n == 7) return body.template operator()<7>();
    if (n == 8) return body.template operator()<8>();
    if (n == 9) return body.template operator()<9>();
    if (n == 10) return body.template operator()<10>();
    if (n == 11) return body.template operator()<11>();
    if (n == 12) return body.template operator()<12>();
  }
}

/// The matmul of one policy. Few rows need several accumulators per row: with one they would wait for the latency of the multiply-add and
/// not for memory. From the second-level cache of a Zen 4, they raise BF16 of 2, 3 and 4 rows from 39 GB/s each to 97, 75 and 57 (November
/// 2026).
template <typename Policy, bool kWide = true>
void multiply(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() {
    constexpr int kChains = kRows == 1 ? 4 : chains_per_row<kRows, kWide>();
    // Rows that may be one of several blocks keep the kernel that prefetches the next block.
    constexpr bool kIsAlone = !kWide || 2 * kRows < kRowBlock;
    if constexpr (kRows == 1 || (kIsAlone && kRows < kPairFromRows && kChains > 1)) {
      multiply_few_rows<Policy, kRows, kChains>(args);
    } else {
      multiply_rows<Policy, kRows, kWide>(args);
    }
  });
}

}  // namespace secondsource::cpu::SS_CPU_ISA
