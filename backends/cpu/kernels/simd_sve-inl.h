#pragma once
// Sixteen f32 or i32 lanes as two 32-byte registers: SVE of 256 bits (Neoverse V1). The length is a compile flag, so that
// vectors may be members of a struct.

#include <arm_sve.h>

#include "cpu/kernels/target-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

using F32x8 = svfloat32_t __attribute__((arm_sve_vector_bits(256)));
using I32x8 = svint32_t __attribute__((arm_sve_vector_bits(256)));

struct F32 {
  F32x8 v[2];
};
struct I32 {
  I32x8 v[2];
};

inline constexpr int kRowBlock = 12;      // 24 accumulators of 32 registers
inline constexpr int kAccumulators = 12;  // that fit in registers beside operands
inline constexpr int kPairFromRows = 99;  // never two tiles at once

/// {f(i) for the two registers}.
template <typename Vector, typename Function>
inline Vector of_two(const Function& f) {
  return {{f(0), f(1)}};
}
/// The predicate of all lanes.
inline svbool_t all() {
  return svptrue_b32();
}

inline F32 broadcast(float x) {
  return of_two<F32>([x](int) { return svdup_n_f32(x); });
}
inline F32 zero() {
  return broadcast(0.0F);
}
inline F32 load(const float* p) {
  return of_two<F32>([p](int i) { return svld1_f32(all(), p + 8 * i); });
}
inline void store(float* p, const F32& x) {
  for (int i = 0; i < 2; ++i) svst1_f32(all(), p + 8 * i, x.v[i]);
}
/// A plain store: only the outputs of a BlockKernel are written past the caches, and this instruction set has none.
inline void store_past_caches(float* p, const F32& x) {
  store(p, x);
}
inline F32 add(const F32& x, const F32& y) {
  return of_two<F32>([&](int i) { return svadd_f32_x(all(), x.v[i], y.v[i]); });
}
inline F32 sub(const F32& x, const F32& y) {
  return of_two<F32>([&](int i) { return svsub_f32_x(all(), x.v[i], y.v[i]); });
}
inline F32 mul(const F32& x, const F32& y) {
  return of_two<F32>([&](int i) { return svmul_f32_x(all(), x.v[i], y.v[i]); });
}
inline F32 divide(const F32& x, const F32& y) {
  return of_two<F32>([&](int i) { return svdiv_f32_x(all(), x.v[i], y.v[i]); });
}
inline F32 fma(const F32& x, const F32& y, const F32& z) {
  return of_two<F32>([&](int i) { return svmla_f32_x(all(), z.v[i], x.v[i], y.v[i]); });
}
// Returns the second operand when either is NaN, as the x86 instructions do.
inline F32 max(const F32& x, const F32& y) {
  return of_two<F32>([&](int i) { return svsel_f32(svcmpgt_f32(all(), x.v[i], y.v[i]), x.v[i], y.v[i]); });
}
inline F32 min(const F32& x, const F32& y) {
  return of_two<F32>([&](int i) { return svsel_f32(svcmplt_f32(all(), x.v[i], y.v[i]), x.v[i], y.v[i]); });
}
inline F32 absolute(const F32& x) {
  return of_two<F32>([&](int i) { return svabs_f32_x(all(), x.v[i]); });
}
/// The power of two at or below |x|; 0 for magnitudes below 2^-126.
inline F32 power_below(const F32& x) {
  return of_two<F32>(
      [&](int i) { return svreinterpret_f32_s32(svand_n_s32_x(all(), svreinterpret_s32_f32(x.v[i]), 0x7f800000)); });
}
/// x where |test| < limit, else y.
inline F32 select_small(const F32& test, float limit, const F32& x, const F32& y) {
  return of_two<F32>([&](int i) { return svsel_f32(svaclt_n_f32(all(), test.v[i], limit), x.v[i], y.v[i]); });
}
inline F32 round_even(const F32& x) {
  return of_two<F32>([&](int i) { return svrintn_f32_x(all(), x.v[i]); });
}
/// p * 2^n for whole n in [-126, 127].
inline F32 scale_pow2(const F32& p, const F32& n) {
  return of_two<F32>([&](int i) { return svscale_f32_x(all(), p.v[i], svcvt_s32_f32_x(all(), n.v[i])); });
}
inline float reduce_add(const F32& x) {
  return svaddv_f32(all(), svadd_f32_x(all(), x.v[0], x.v[1]));
}
inline float reduce_max(const F32& x) {
  return svmaxv_f32(all(), svmax_f32_x(all(), x.v[0], x.v[1]));
}

inline I32 zero_i32() {
  return of_two<I32>([](int) { return svdup_n_s32(0); });
}
inline I32 load_i32(const void* p) {
  return read<I32>(static_cast<const char*>(p));
}
inline void store_i32(void* p, const I32& x) {
  write(static_cast<char*>(p), x);
}
inline I32 add_i32(const I32& x, const I32& y) {
  return of_two<I32>([&](int i) { return svadd_s32_x(all(), x.v[i], y.v[i]); });
}
inline F32 to_f32(const I32& x) {
  return of_two<F32>([&](int i) { return svcvt_f32_s32_x(all(), x.v[i]); });
}
inline I32 to_i32(const F32& x) {
  return of_two<I32>([&](int i) { return svcvt_s32_f32_x(all(), svrintn_f32_x(all(), x.v[i])); });
}
/// 16 int8 values.
inline F32 load_i8(const void* p) {
  const auto* from = static_cast<const std::int8_t*>(p);
  return to_f32(of_two<I32>([from](int i) { return svld1sb_s32(all(), from + 8 * i); }));
}
/// Both BF16 halves of each lane as f32.
inline F32 bf16_even(const I32& x) {
  return of_two<F32>([&](int i) { return svreinterpret_f32_s32(svlsl_n_s32_x(all(), x.v[i], 16)); });
}
inline F32 bf16_odd(const I32& x) {
  constexpr auto kMask = static_cast<std::int32_t>(0xffff0000U);
  return of_two<F32>([&](int i) { return svreinterpret_f32_s32(svand_n_s32_x(all(), x.v[i], kMask)); });
}
/// Each lane shifted to the right by kRight bits, or to the left by -kRight if that is negative, without the bits outside kMask.
template <int kRight, std::uint32_t kMask>
inline I32 shifted_bits(const I32& x) {
  return of_two<I32>([&](int i) {
    svuint32_t bits = svreinterpret_u32_s32(x.v[i]);
    if constexpr (kRight > 0) bits = svlsr_n_u32_x(all(), bits, kRight);
    if constexpr (kRight < 0) bits = svlsl_n_u32_x(all(), bits, -kRight);
    return svreinterpret_s32_u32(svand_n_u32_x(all(), bits, kMask));
  });
}
/// Bits [kLow, kLow + kBits) of each lane, sign-extended.
template <int kLow, int kBits>
inline I32 whole_field(const I32& x) {
  constexpr int kLeft = 32 - kLow - kBits;
  constexpr int kRight = 32 - kBits;
  return of_two<I32>([&](int i) { return svasr_n_s32_x(all(), svlsl_n_s32_x(all(), x.v[i], kLeft), kRight); });
}
/// The same as f32.
template <int kLow, int kBits>
inline F32 field(const I32& x) {
  return to_f32(whole_field<kLow, kBits>(x));
}
/// The same bits as an unsigned number.
template <int kLow, int kBits>
inline F32 unsigned_field(const I32& x) {
  return of_two<F32>([&](int i) {
    const svuint32_t bits = svlsr_n_u32_x(all(), svreinterpret_u32_s32(x.v[i]), kLow);
    return svcvt_f32_u32_x(all(), svand_n_u32_x(all(), bits, (1U << kBits) - 1U));
  });
}
/// The E4M3 number in the bits from kLow on of each lane. With its exponent and mantissa moved to their places in an f32, it is 2^120 times
/// too small, also if it is subnormal, and is multiplied by that. NaN becomes 480.
template <int kLow>
inline F32 e4m3_at(const I32& x) {
  constexpr auto kPlaces = static_cast<std::int32_t>(0x87f00000U);
  return of_two<F32>([&](int i) {
    const svint32_t high = svasr_n_s32_x(all(), svlsl_n_s32_x(all(), x.v[i], 24 - kLow), 4);
    return svmul_n_f32_x(all(), svreinterpret_f32_s32(svand_n_s32_x(all(), high, kPlaces)), 0x1p120F);
  });
}
/// The four bits from kLow on of each lane, two's complement, as f32 times kNibbleUnit.
inline constexpr float kNibbleUnit = 1.0F;
template <int kLow>
inline F32 nibble_at(const I32& x) {
  return field<kLow, 4>(x);
}
/// The E2M1 number in the four bits from kLow on of each lane. With its bits moved to their places in an f32, it is 2^126 times too small,
/// also if it is subnormal, and is multiplied by that.
template <int kLow>
inline F32 e2m1_at(const I32& x) {
  constexpr auto kPlaces = static_cast<std::int32_t>(0x81c00000U);
  return of_two<F32>([&](int i) {
    const svint32_t high = svasr_n_s32_x(all(), svlsl_n_s32_x(all(), x.v[i], 28 - kLow), 6);
    return svmul_n_f32_x(all(), svreinterpret_f32_s32(svand_n_s32_x(all(), high, kPlaces)), 0x1p126F);
  });
}
/// For each byte of x, which is below 16, the byte of the 16-byte `table` at that index.
inline I32 look_up(const std::uint8_t* table, const I32& x) {
  const svuint8_t numbers = svld1rq_u8(svptrue_b8(), table);
  return of_two<I32>([&](int i) { return svreinterpret_s32_u8(svtbl_u8(numbers, svreinterpret_u8_s32(x.v[i]))); });
}
/// 16 scales in E8M0. The least one, 2^-127, is subnormal in f32.
inline F32 load_e8m0(const void* p) {
  const auto* from = static_cast<const std::uint8_t*>(p);
  return of_two<F32>([from](int i) {
    const svuint32_t bits = svlsl_n_u32_x(all(), svld1ub_u32(all(), from + 8 * i), 23);
    return svreinterpret_f32_u32(svmax_n_u32_x(all(), bits, 0x00400000U));
  });
}
/// Four columns of a vector of int4 tiles as int8, 16 times their value, so that the nibble is at the top of its byte:
/// columns 0, 4, 1, 5 from the low nibbles (kHigh false), 2, 6, 3, 7 from the high ones.
template <bool kHigh>
inline I32 nibble_bytes(const I32& x) {
  constexpr auto kTop = static_cast<std::int32_t>(0xf0f0f0f0U);
  if constexpr (kHigh) return of_two<I32>([&](int i) { return svand_n_s32_x(all(), x.v[i], kTop); });
  return of_two<I32>([&](int i) { return svand_n_s32_x(all(), svlsl_n_s32_x(all(), x.v[i], 4), kTop); });
}
/// 16 FP16 values.
inline F32 load_f16(const void* p) {
  const auto* from = static_cast<const std::uint16_t*>(p);
  return of_two<F32>(
      [from](int i) { return svcvt_f32_f16_x(all(), svreinterpret_f16_u32(svld1uh_u32(all(), from + 8 * i))); });
}
inline void store_bf16(std::uint16_t* p, const F32& x) {
  for (int i = 0; i < 2; ++i) {
    svst1h_u32(all(), p + 8 * i, svreinterpret_u32_bf16(svcvt_bf16_f32_x(all(), x.v[i])));
  }
}

/// acc + the dot product of the four int8 of each lane and four i16 activations, stored in the order 0, 2, 1, 3.
inline I32 dot_int8_i16(const I32& acc, const I32& w, const std::int16_t* x) {
  const I32 w0 = whole_field<0, 8>(w);
  const I32 w1 = whole_field<8, 8>(w);
  const I32 w2 = whole_field<16, 8>(w);
  const I32 w3 = whole_field<24, 8>(w);
  return of_two<I32>([&](int i) {
    svint32_t sum = svmla_n_s32_x(all(), acc.v[i], w0.v[i], x[0]);
    sum = svmla_n_s32_x(all(), sum, w1.v[i], x[2]);
    sum = svmla_n_s32_x(all(), sum, w2.v[i], x[1]);
    return svmla_n_s32_x(all(), sum, w3.v[i], x[3]);
  });
}

}  // namespace secondsource::cpu::SS_CPU_ISA
