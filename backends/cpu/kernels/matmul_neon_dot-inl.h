#pragma once
// Matmul policies for the Armv8.6 instructions bfdot (BF16) and usdot (int8). Formulas, shapes and aliasing are those of
// matmul-inl.h. Tiles have the same order as for AVX-512: each lane of a dot product belongs to one weight row. bfmmla and
// smmla would double the rate for many rows, but need blocks of 2 x 4 and 2 x 8, another order of the weights.

#ifndef SS_CPU_ISA  // opened by itself: target-inl.h
#define SS_CPU_ISA neon_bf16
#define SS_CPU_SIMD_NEON
#endif

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_dot-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// bfdot rounds the sum of a pair to odd before adding it; that error is below the one of accumulating in f32.
struct DotBf16 : Bf16Pairs {
  static void step(Acc& acc, const Weights& w, const Act* x) {
    const bfloat16x8_t pair = vreinterpretq_bf16_s32(vdupq_n_s32(read<std::int32_t>(x)));
    acc = of_four<F32>([&](int i) { return vbfdotq_f32(acc.v[i], vreinterpretq_bf16_s32(w.v[i]), pair); });
  }
};

struct DotU8 : U8Quads {
  static void step(Acc& acc, const Weights& w, const Act* x) {
    const uint8x16_t quad = vreinterpretq_u8_s32(vdupq_n_s32(read<std::int32_t>(x)));
    acc = of_four<I32>([&](int i) { return vusdotq_s32(acc.v[i], quad, vreinterpretq_s8_s32(w.v[i])); });
  }
  static F32 result(const Acc& acc, const std::int32_t* row_sums) {
    const I32 sums = load_i32(row_sums);
    return to_f32(of_four<I32>([&](int i) { return vsubq_s32(acc.v[i], vshlq_n_s32(sums.v[i], 7)); }));
  }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
