#pragma once
// Matmul of int8-g32 or int4 weights and int8 activations (int8-g32-w8a8, int4-w8a8):
//
//   c[m, n] = sum_g scale[n, g] * sum_{k in group g} a[m, k] * q[n, k]
//
// The sum of a group is exact in int32; the groups are scaled and added in f32 in the order of k. a: [k / vec][n_rows][vec] in Policy::Act,
// vec 4 for int8 and 8 for int4, in the order of ActType. c: [n_rows, 16 * n_tiles] f32, still to be multiplied by the activations' row
// scales. Nothing overlaps.

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_groups-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The groups of int8-g32: vectors of 4 columns.
struct Int8Groups {
  static constexpr int kBytes = kInt8GroupBytes;
  static constexpr int kVectors = kInt8GroupVectors;  ///< of 64 bytes
  static constexpr int kQuads = 1;                    ///< int8 columns of a vector, in fours
  static void load_quads(const std::byte* p, I32 (&quads)[kQuads]) { quads[0] = load_i32(p); }
  static F32 load_scale(const std::byte* p) { return load_f16(p); }
};

/// The groups of int4: vectors of 8 columns, which become int8 of 16 times their value. Scales are divided by 16, exactly in f32, to make
/// up for it. The sum of a group with activations up to 255 stays below 2^20.
struct Int4Groups {
  static constexpr int kBytes = kInt4GroupBytes;
  static constexpr int kVectors = kInt8GroupVectors / 2;
  static constexpr int kQuads = 2;
  static void load_quads(const std::byte* p, I32 (&quads)[kQuads]) {
    const I32 lanes = load_i32(p);
    quads[0] = nibble_bytes<false>(lanes);
    quads[1] = nibble_bytes<true>(lanes);
  }
  static F32 load_scale(const std::byte* p) { return mul(load_f16(p), broadcast(1.0F / 16.0F)); }
};

/// Activations stored as q + kActOffset add kActOffset * sum_k w[k] to every sum of a group. This computes that term once per group for all
/// rows of a block, because the packed group has no room for it; with few rows the kernel is limited by memory anyway. The subtraction in
/// f32 is exact: the sum of a group has at most 21 bits.
template <typename Policy>
struct GroupOffset {
  typename Policy::Acc sum = Policy::init();

  void add(const typename Policy::Weights& w) {
    if constexpr (Policy::kActOffset != 0) {
      constexpr auto kValue = static_cast<typename Policy::Act>(Policy::kActOffset);
      constexpr typename Policy::Act kQuad[4] = {kValue, kValue, kValue, kValue};
      Policy::step(sum, w, kQuad);
    }
  }
  [[nodiscard]] F32 taken_from(const typename Policy::Acc& acc) const {
    if constexpr (Policy::kActOffset == 0) return to_f32(acc);
    return sub(to_f32(acc), to_f32(sum));
  }
};

/// How many times the loop over the vectors of a group is unrolled at most. If all eight vectors are, g++ keeps the sums of the rows in
/// memory on AVX2, which has 16 registers; this makes 16 rows 1.7 times as slow on a Zen 3.
inline constexpr int kVectorsAtOnce = kRowBlock >= 12 ? kInt8GroupVectors : 1;

/// kRows rows times all tiles.
template <typename Policy, typename Groups, int kRows>
void multiply_quantized_group(const TileArgs& args) {
  using Act = typename Policy::Act;
  constexpr int kVec = 4 * Groups::kQuads;
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const Act*>(args.a);
    F32 total[kRows];
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) total[m] = zero();
    for (std::int64_t k = 0; k < args.k; k += kGroupColumns, w += Groups::kBytes) {
      typename Policy::Acc sum[kRows];
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) sum[m] = Policy::init();
      GroupOffset<Policy> offset;
      Policy::prefetch_ahead(w + 64 * Groups::kVectors);
#pragma GCC unroll kVectorsAtOnce
      for (int vector = 0; vector < Groups::kVectors; ++vector, x += kVec * kRows) {
        Policy::prefetch_ahead(w + vector * 64);
        I32 quads[Groups::kQuads];
        Groups::load_quads(w + vector * 64, quads);
#pragma GCC unroll 2
        for (int quad = 0; quad < Groups::kQuads; ++quad) {
          offset.add(quads[quad]);
#pragma GCC unroll 12
          for (int m = 0; m < kRows; ++m) Policy::step(sum[m], quads[quad], x + kVec * m + 4 * quad);
        }
      }
      const F32 scale = Groups::load_scale(w + 64 * Groups::kVectors);
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) total[m] = fma(offset.taken_from(sum[m]), scale, total[m]);
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) store(args.c + m * args.c_stride + tile * kTileRows, total[m]);
  }
}

template <typename Policy, typename Groups>
void multiply_quantized_groups(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_quantized_group<Policy, Groups, kRows>(args); });
}

}  // namespace secondsource::cpu::SS_CPU_ISA
