#pragma once
// Matmul policies for the Armv8.6 instructions bfdot (BF16) and usdot (int8), and for two rows at a time bfmmla and
// smmla (matmul_row_pairs-inl.h). Formulas, shapes and aliasing are those of matmul-inl.h. Tiles are laid out as for
// AVX-512: each 32-bit lane of a vector holds neighbouring columns of one weight row.

#ifndef SS_CPU_ISA  // compiled on its own: see target-inl.h
#define SS_CPU_ISA neon_bf16
#define SS_CPU_SIMD_NEON
#endif

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_dot-inl.h"
#include "cpu/kernels/matmul_row_pairs-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The products of BF16 numbers are exact in f32. bfdot rounds the sum of two products to odd, and then its sum with the accumulator. The
/// errors of this rounding are below one unit in the last place and without a bias, but twice as large as those of rounding to nearest.
/// Since only every second addition goes to the accumulator, a long sum is off by 1.4 times as much as in f32, which the tolerances of the
/// conformance suite allow. Subnormal numbers count as zero.
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

/// What row pairs of all types have in common: a register holds two rows, 64 bits of each.
struct NeonRowPairs {
  using Rows = int32x4_t;
  static Rows load(const void* x) { return read<Rows>(static_cast<const char*>(x)); }
  static Rows load_last(const void* x) {
    return vcombine_s32(read<int32x2_t>(static_cast<const char*>(x)), vdup_n_s32(0));
  }
  static I32 alternate_low(const I32& x, const I32& y) {
    return of_four<I32>([&](int i) { return vzip1q_s32(x.v[i], y.v[i]); });
  }
  static I32 alternate_high(const I32& x, const I32& y) {
    return of_four<I32>([&](int i) { return vzip2q_s32(x.v[i], y.v[i]); });
  }
  // A register of 16 bytes holds a block of 2 x 2 sums: first the two sums of the first row, then those of the second row.
  static F32 first_of_blocks(const F32& low, const F32& high) {
    return of_four<F32>([&](int i) {
      return vreinterpretq_f32_f64(vuzp1q_f64(vreinterpretq_f64_f32(low.v[i]), vreinterpretq_f64_f32(high.v[i])));
    });
  }
  static F32 second_of_blocks(const F32& low, const F32& high) {
    return of_four<F32>([&](int i) {
      return vreinterpretq_f32_f64(vuzp2q_f64(vreinterpretq_f64_f32(low.v[i]), vreinterpretq_f64_f32(high.v[i])));
    });
  }
};

/// bfmmla is defined as two bfdot, one after the other, for each of its four sums, so that it rounds as they do.
struct PairBf16 : NeonRowPairs {
  using OneRow = DotBf16;
  using Acc = F32;
  static constexpr int kVec = 4;
  static Acc init() { return zero(); }
  static Acc merge(const Acc& x, const Acc& y) { return add(x, y); }
  static Acc step(const Acc& acc, const Rows& rows, const I32& w) {
    return of_four<F32>(
        [&](int i) { return vbfmmlaq_f32(acc.v[i], vreinterpretq_bf16_s32(rows), vreinterpretq_bf16_s32(w.v[i])); });
  }
  static F32 first_row(const Acc& low, const Acc& high) { return first_of_blocks(low, high); }
  static F32 second_row(const Acc& low, const Acc& high) { return second_of_blocks(low, high); }
};

/// Activations are stored as q + 128, which is q in two's complement with its sign bit flipped. smmla takes them as q, so that the sums
/// need no correction.
struct PairInt8 : NeonRowPairs {
  using OneRow = DotU8;
  using Acc = I32;
  static constexpr int kVec = 8;
  static Rows load(const void* x) { return without_offset(NeonRowPairs::load(x)); }
  static Rows load_last(const void* x) { return without_offset(NeonRowPairs::load_last(x)); }
  static Acc init() { return zero_i32(); }
  static Acc merge(const Acc& x, const Acc& y) { return add_i32(x, y); }
  static Acc step(const Acc& acc, const Rows& rows, const I32& w) {
    return of_four<I32>(
        [&](int i) { return vmmlaq_s32(acc.v[i], vreinterpretq_s8_s32(rows), vreinterpretq_s8_s32(w.v[i])); });
  }
  static F32 first_row(const Acc& low, const Acc& high) { return first_of_blocks(to_f32(low), to_f32(high)); }
  static F32 second_row(const Acc& low, const Acc& high) { return second_of_blocks(to_f32(low), to_f32(high)); }

 private:
  static Rows without_offset(const Rows& rows) {
    return veorq_s32(rows, vdupq_n_s32(static_cast<std::int32_t>(0x80808080U)));
  }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
