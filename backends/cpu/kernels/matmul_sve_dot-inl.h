#pragma once
// Matmul policies for the SVE instructions bfdot (BF16) and usdot (int8): the counterpart of matmul_neon_dot-inl.h, with
// the same tile orders. Formulas, shapes and aliasing are those of matmul-inl.h.

#ifndef SS_CPU_ISA  // opened by itself: target-inl.h
#define SS_CPU_ISA sve256
#define SS_CPU_SIMD_SVE
#endif

#include "cpu/kernels/matmul-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// BF16 weights and activations. Tile: [k / 2][16][2].
struct DotBf16 : PlainF32 {
  using Act = std::uint16_t;
  using Weights = I32;
  static constexpr int kVec = 2;
  static constexpr int kStepBytes = 64;
  static Weights decode(const std::byte* p) { return load_i32(p); }
  static void step(Acc& acc, const Weights& w, const Act* x) {
    const svbfloat16_t pair = svreinterpret_bf16_s32(svdup_n_s32(read<std::int32_t>(x)));
    acc = of_two<F32>([&](int i) { return svbfdot_f32(acc.v[i], svreinterpret_bf16_s32(w.v[i]), pair); });
  }
};

/// int8 weights, int8 activations stored as q + 128: sum_k (q + 128) w - 128 sum_k w. Exact in int32 up to 2^16 columns.
/// Tile: [k / 4][16][4].
struct DotU8 {
  using Act = std::uint8_t;
  using Acc = I32;
  using Weights = I32;
  static constexpr int kActOffset = 128;
  static constexpr int kVec = 4;
  static constexpr int kStepBytes = 64;
  static void prefetch_ahead(const std::byte* p) { prefetch(p + kPrefetchBytes); }
  static Weights decode(const std::byte* p) { return load_i32(p); }
  static Acc init() { return zero_i32(); }
  static void step(Acc& acc, const Weights& w, const Act* x) {
    const svuint8_t quad = svreinterpret_u8_s32(svdup_n_s32(read<std::int32_t>(x)));
    acc = of_two<I32>([&](int i) { return svusdot_s32(acc.v[i], quad, svreinterpret_s8_s32(w.v[i])); });
  }
  static Acc merge(const Acc& x, const Acc& y) { return add_i32(x, y); }
  static F32 result(const Acc& acc, const std::int32_t* row_sums) {
    const I32 sums = load_i32(row_sums);
    return to_f32(of_two<I32>([&](int i) { return svsub_s32_x(all(), acc.v[i], svlsl_n_s32_x(all(), sums.v[i], 7)); }));
  }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
