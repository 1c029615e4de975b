#pragma once
// Matmul of int8-g32 weights and int8 activations (int8-g32-w8a8):
//
//   c[m, n] = sum_g scale[n, g] * sum_{k in group g} a[m, k] * q[n, k]
//
// A group's sum is exact in int32; the groups are scaled and added in f32 in the order of k. a: [k / 4][n_rows][4] in
// Policy::Act. c: [n_rows, 16 * n_tiles] f32, still to be multiplied by the activations' row scales. Nothing overlaps.

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_groups-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Activations stored as q + kActOffset add kActOffset * sum_k w[k] to every sum of a group. This computes that term once
/// per group, beside the rows, because the packed group has no room for it; with few rows the kernel is bound by memory
/// anyway. The subtraction in f32 is exact: a group's sum has at most 21 bits.
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

/// Vectors of a group whose loop is unrolled. With the 16 registers of AVX2 g++ keeps the rows' sums in memory where all
/// eight are, which makes 16 rows 1.7 times as slow on a Zen 3.
inline constexpr int kVectorsAtOnce = kRowBlock >= 12 ? kInt8GroupVectors : 1;

/// kRows rows times all tiles.
template <typename Policy, int kRows>
void multiply_quantized_group(const TileArgs& args) {
  using Act = typename Policy::Act;
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const Act*>(args.a);
    F32 total[kRows];
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) total[m] = zero();
    for (std::int64_t k = 0; k < args.k; k += kGroupColumns, w += kInt8GroupBytes) {
      typename Policy::Acc sum[kRows];
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) sum[m] = Policy::init();
      GroupOffset<Policy> offset;
      Policy::prefetch_ahead(w + 64 * kInt8GroupVectors);
#pragma GCC unroll kVectorsAtOnce
      for (int vector = 0; vector < kInt8GroupVectors; ++vector, x += 4 * kRows) {
        Policy::prefetch_ahead(w + vector * 64);
        const typename Policy::Weights weights = Policy::decode(w + vector * 64);
        offset.add(weights);
#pragma GCC unroll 12
        for (int m = 0; m < kRows; ++m) Policy::step(sum[m], weights, x + 4 * m);
      }
      const F32 scale = load_f16(w + 64 * kInt8GroupVectors);
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) total[m] = fma(offset.taken_from(sum[m]), scale, total[m]);
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) store(args.c + m * args.c_stride + tile * kTileRows, total[m]);
  }
}

template <typename Policy>
void multiply_quantized_groups(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_quantized_group<Policy, kRows>(args); });
}

}  // namespace secondsource::cpu::SS_CPU_ISA
