#pragma once
// Matmul policies for the SVE instructions bfdot (BF16) and usdot (int8): the counterpart of matmul_neon_dot-inl.h, with
// the same tile orders. Formulas, shapes and aliasing are those of matmul-inl.h.

#ifndef SS_CPU_ISA  // opened by itself: target-inl.h
#define SS_CPU_ISA sve256
#define SS_CPU_SIMD_SVE
#endif

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_dot-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

struct DotBf16 : Bf16Pairs {
  static void step(Acc& acc, const Weights& w, const Act* x) {
    const svbfloat16_t pair = svreinterpret_bf16_s32(svdup_n_s32(read<std::int32_t>(x)));
    acc = of_two<F32>([&](int i) { return svbfdot_f32(acc.v[i], svreinterpret_bf16_s32(w.v[i]), pair); });
  }
};

struct DotU8 : U8Quads {
  static void step(Acc& acc, const Weights& w, const Act* x) {
    const svuint8_t quad = svreinterpret_u8_s32(svdup_n_s32(read<std::int32_t>(x)));
    acc = of_two<I32>([&](int i) { return svusdot_s32(acc.v[i], quad, svreinterpret_s8_s32(w.v[i])); });
  }
  static F32 result(const Acc& acc, const std::int32_t* row_sums) {
    const I32 sums = load_i32(row_sums);
    return to_f32(of_two<I32>([&](int i) { return svsub_s32_x(all(), acc.v[i], svlsl_n_s32_x(all(), sums.v[i], 7)); }));
  }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
