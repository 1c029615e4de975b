#pragma once
// Matmul policies for the SVE instructions bfdot (BF16), usdot (int8), bfmmla and smmla: the counterpart of matmul_neon_dot-inl.h, with
// the same tile orders. Formulas, shapes and aliasing are those of matmul-inl.h.

#ifndef SS_CPU_ISA  // compiled on its own: see target-inl.h
#define SS_CPU_ISA sve256
#define SS_CPU_SIMD_SVE
#endif

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_dot-inl.h"
#include "cpu/kernels/matmul_row_pairs-inl.h"

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

/// What row pairs of all types have in common: each half of a register holds 64 bits of each of the two rows, and the instructions work on
/// each half separately.
struct SveRowPairs {
  using Rows = I32x8;
  static Rows load(const void* x) { return svld1rq_s32(all(), static_cast<const std::int32_t*>(x)); }
  static Rows load_last(const void* x) {
    return svld1rq_s32(svptrue_pat_b32(SV_VL2), static_cast<const std::int32_t*>(x));
  }
  static I32 alternate_low(const I32& x, const I32& y) {
    return of_two<I32>([&](int i) { return svzip1_s32(x.v[i], y.v[i]); });
  }
  static I32 alternate_high(const I32& x, const I32& y) {
    return of_two<I32>([&](int i) { return svzip2_s32(x.v[i], y.v[i]); });
  }
  // Half of a register holds a block of 2 x 2 sums: first the two sums of the first row, then those of the second row.
  static F32 first_of_blocks(const F32& low, const F32& high) {
    return of_two<F32>([&](int i) {
      return svreinterpret_f32_f64(svuzp1_f64(svreinterpret_f64_f32(low.v[i]), svreinterpret_f64_f32(high.v[i])));
    });
  }
  static F32 second_of_blocks(const F32& low, const F32& high) {
    return of_two<F32>([&](int i) {
      return svreinterpret_f32_f64(svuzp2_f64(svreinterpret_f64_f32(low.v[i]), svreinterpret_f64_f32(high.v[i])));
    });
  }
};

struct PairBf16 : SveRowPairs {
  using OneRow = DotBf16;
  using Acc = F32;
  static constexpr int kVec = 4;
  static Acc init() { return zero(); }
  static Acc merge(const Acc& x, const Acc& y) { return add(x, y); }
  static Acc step(const Acc& acc, const Rows& rows, const I32& w) {
    return of_two<F32>(
        [&](int i) { return svbfmmla_f32(acc.v[i], svreinterpret_bf16_s32(rows), svreinterpret_bf16_s32(w.v[i])); });
  }
  static F32 first_row(const Acc& low, const Acc& high) { return first_of_blocks(low, high); }
  static F32 second_row(const Acc& low, const Acc& high) { return second_of_blocks(low, high); }
};

struct PairInt8 : SveRowPairs {
  using OneRow = DotU8;
  using Acc = I32;
  static constexpr int kVec = 8;
  static Rows load(const void* x) { return without_offset(SveRowPairs::load(x)); }
  static Rows load_last(const void* x) { return without_offset(SveRowPairs::load_last(x)); }
  static Acc init() { return zero_i32(); }
  static Acc merge(const Acc& x, const Acc& y) { return add_i32(x, y); }
  static Acc step(const Acc& acc, const Rows& rows, const I32& w) {
    return of_two<I32>(
        [&](int i) { return svmmla_s32(acc.v[i], svreinterpret_s8_s32(rows), svreinterpret_s8_s32(w.v[i])); });
  }
  static F32 first_row(const Acc& low, const Acc& high) { return first_of_blocks(to_f32(low), to_f32(high)); }
  static F32 second_row(const Acc& low, const Acc& high) { return second_of_blocks(to_f32(low), to_f32(high)); }

 private:
  static Rows without_offset(const Rows& rows) {
    return sveor_n_s32_x(all(), rows, static_cast<std::int32_t>(0x80808080U));
  }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
