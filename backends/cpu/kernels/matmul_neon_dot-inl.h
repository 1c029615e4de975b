#pragma once
// Matmul policies for the Armv8.6 instructions bfdot (BF16) and usdot (int8). Formulas, shapes and aliasing are those of
// matmul-inl.h. Tiles have the same order as for AVX-512: each lane of a dot product belongs to one weight row. bfmmla and
// smmla would double the rate for many rows, but need blocks of 2 x 4 and 2 x 8, another order of the weights.

#ifndef SS_CPU_ISA  // opened by itself: target-inl.h
#define SS_CPU_ISA neon_bf16
#define SS_CPU_SIMD_NEON
#endif

#include "cpu/kernels/matmul-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// BF16 weights and activations. Tile: [k / 2][16][2]. bfdot rounds the sum of a pair to odd before adding it, an error
/// below that of the accumulation in f32.
struct DotBf16 : PlainF32 {
  using Act = std::uint16_t;
  using Weights = I32;
  static constexpr int kVec = 2;
  static constexpr int kStepBytes = 64;
  static Weights decode(const std::byte* p) { return load_i32(p); }
  static void step(Acc& acc, const Weights& w, const Act* x) {
    const bfloat16x8_t pair = vreinterpretq_bf16_s32(vdupq_n_s32(read<std::int32_t>(x)));
    acc = of_four<F32>([&](int i) { return vbfdotq_f32(acc.v[i], vreinterpretq_bf16_s32(w.v[i]), pair); });
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
    const uint8x16_t quad = vreinterpretq_u8_s32(vdupq_n_s32(read<std::int32_t>(x)));
    acc = of_four<I32>([&](int i) { return vusdotq_s32(acc.v[i], quad, vreinterpretq_s8_s32(w.v[i])); });
  }
  static Acc merge(const Acc& x, const Acc& y) { return add_i32(x, y); }
  static F32 result(const Acc& acc, const std::int32_t* row_sums) {
    const I32 sums = load_i32(row_sums);
    return to_f32(of_four<I32>([&](int i) { return vsubq_s32(acc.v[i], vshlq_n_s32(sums.v[i], 7)); }));
  }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
