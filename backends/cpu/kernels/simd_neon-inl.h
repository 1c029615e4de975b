#pragma once
// Sixteen f32 or i32 lanes as four 16-byte registers: Armv8-A with Advanced SIMD, which every AArch64 CPU has.
//
// All functions are always_inline. What is one instruction elsewhere is four here, so g++ 12 considers them too large to inline in files of
// the size of the kernels, and a call would put accumulators into memory.

#include <arm_neon.h>

#include "cpu/kernels/target-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

struct F32 {
  float32x4_t v[4];
};
struct I32 {
  int32x4_t v[4];
};

inline constexpr int kRowBlock = 6;       // 24 accumulators of 32 registers
inline constexpr int kAccumulators = 6;   // that fit in registers beside operands
inline constexpr int kPairFromRows = 99;  // never two tiles at once

/// {f(i) for the four registers}.
template <typename Vector, typename Function>
[[gnu::always_inline]] inline Vector of_four(const Function& f) {
  return {{f(0), f(1), f(2), f(3)}};
}

[[gnu::always_inline]] inline F32 broadcast(float x) {
  return of_four<F32>([x](int) { return vdupq_n_f32(x); });
}
[[gnu::always_inline]] inline F32 zero() {
  return broadcast(0.0F);
}
[[gnu::always_inline]] inline F32 load(const float* p) {
  return of_four<F32>([p](int i) { return vld1q_f32(p + 4 * i); });
}
[[gnu::always_inline]] inline void store(float* p, const F32& x) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, x.v[i]);
}
/// A plain store: only the outputs of a BlockKernel are written past the caches, and this instruction set has none.
[[gnu::always_inline]] inline void store_past_caches(float* p, const F32& x) {
  store(p, x);
}
[[gnu::always_inline]] inline F32 add(const F32& x, const F32& y) {
  return of_four<F32>([&](int i) { return vaddq_f32(x.v[i], y.v[i]); });
}
[[gnu::always_inline]] inline F32 sub(const F32& x, const F32& y) {
  return of_four<F32>([&](int i) { return vsubq_f32(x.v[i], y.v[i]); });
}
[[gnu::always_inline]] inline F32 mul(const F32& x, const F32& y) {
  return of_four<F32>([&](int i) { return vmulq_f32(x.v[i], y.v[i]); });
}
[[gnu::always_inline]] inline F32 divide(const F32& x, const F32& y) {
  return of_four<F32>([&](int i) { return vdivq_f32(x.v[i], y.v[i]); });
}
[[gnu::always_inline]] inline F32 fma(const F32& x, const F32& y, const F32& z) {
  return of_four<F32>([&](int i) { return vfmaq_f32(z.v[i], x.v[i], y.v[i]); });
}
// Returns the second operand when either is NaN, as the x86 instructions do.
[[gnu::always_inline]] inline F32 max(const F32& x, const F32& y) {
  return of_four<F32>([&](int i) { return vbslq_f32(vcgtq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]); });
}
[[gnu::always_inline]] inline F32 min(const F32& x, const F32& y) {
  return of_four<F32>([&](int i) { return vbslq_f32(vcltq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]); });
}
[[gnu::always_inline]] inline F32 absolute(const F32& x) {
  return of_four<F32>([&](int i) { return vabsq_f32(x.v[i]); });
}
/// The power of two at or below |x|; 0 for magnitudes below 2^-126.
[[gnu::always_inline]] inline F32 power_below(const F32& x) {
  return of_four<F32>(
      [&](int i) { return vreinterpretq_f32_s32(vandq_s32(vreinterpretq_s32_f32(x.v[i]), vdupq_n_s32(0x7f800000))); });
}
/// x where |test| < limit, else y.
[[gnu::always_inline]] inline F32 select_small(const F32& test, float limit, const F32& x, const F32& y) {
  return of_four<F32>([&](int i) { return vbslq_f32(vcaltq_f32(test.v[i], vdupq_n_f32(limit)), x.v[i], y.v[i]); });
}
[[gnu::always_inline]] inline F32 round_even(const F32& x) {
  return of_four<F32>([&](int i) { return vrndnq_f32(x.v[i]); });
}
/// p * 2^n for whole n in [-126, 127].
[[gnu::always_inline]] inline F32 scale_pow2(const F32& p, const F32& n) {
  return of_four<F32>([&](int i) {
    const int32x4_t bits = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n.v[i]), vdupq_n_s32(127)), 23);
    return vmulq_f32(p.v[i], vreinterpretq_f32_s32(bits));
  });
}
[[gnu::always_inline]] inline float reduce_add(const F32& x) {
  return vaddvq_f32(vaddq_f32(vaddq_f32(x.v[0], x.v[1]), vaddq_f32(x.v[2], x.v[3])));
}
[[gnu::always_inline]] inline float reduce_max(const F32& x) {
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.v[0], x.v[1]), vmaxq_f32(x.v[2], x.v[3])));
}

[[gnu::always_inline]] inline I32 zero_i32() {
  return of_four<I32>([](int) { return vdupq_n_s32(0); });
}
[[gnu::always_inline]] inline I32 load_i32(const void* p) {
  // g++ 12 would copy a whole I32 by way of the stack.
  return of_four<I32>(
      [p](int i) { return vreinterpretq_s32_u8(vld1q_u8(static_cast<const std::uint8_t*>(p) + 16 * i)); });
}
[[gnu::always_inline]] inline void store_i32(void* p, const I32& x) {
  for (int i = 0; i < 4; ++i) vst1q_u8(static_cast<std::uint8_t*>(p) + 16 * i, vreinterpretq_u8_s32(x.v[i]));
}
[[gnu::always_inline]] inline I32 add_i32(const I32& x, const I32& y) {
  return of_four<I32>([&](int i) { return vaddq_s32(x.v[i], y.v[i]); });
}
[[gnu::always_inline]] inline F32 to_f32(const I32& x) {
  return of_four<F32>([&](int i) { return vcvtq_f32_s32(x.v[i]); });
}
[[gnu::always_inline]] inline I32 to_i32(const F32& x) {
  return of_four<I32>([&](int i) { return vcvtnq_s32_f32(x.v[i]); });
}
/// 16 int8 values.
[[gnu::always_inline]] inline F32 load_i8(const void* p) {
  const int8x16_t bytes = vld1q_s8(static_cast<const std::int8_t*>(p));
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
  const int16x8_t high = vmovl_s8(vget_high_s8(bytes));
  return to_f32({{vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)), vmovl_s16(vget_low_s16(high)),
                  vmovl_s16(vget_high_s16(high))}});
}
/// Both BF16 halves of each lane as f32.
[[gnu::always_inline]] inline F32 bf16_even(const I32& x) {
  return of_four<F32>([&](int i) { return vreinterpretq_f32_s32(vshlq_n_s32(x.v[i], 16)); });
}
[[gnu::always_inline]] inline F32 bf16_odd(const I32& x) {
  const int32x4_t mask = vdupq_n_s32(static_cast<std::int32_t>(0xffff0000U));
  return of_four<F32>([&](int i) { return vreinterpretq_f32_s32(vandq_s32(x.v[i], mask)); });
}
/// Each lane shifted to the right by kRight bits, or to the left by -kRight if that is negative, without the bits outside kMask.
template <int kRight, std::uint32_t kMask>
[[gnu::always_inline]] inline I32 shifted_bits(const I32& x) {
  const uint32x4_t mask = vdupq_n_u32(kMask);
  return of_four<I32>([&](int i) {
    uint32x4_t bits = vreinterpretq_u32_s32(x.v[i]);
    if constexpr (kRight > 0) bits = vshrq_n_u32(bits, kRight > 0 ? kRight : 1);
    if constexpr (kRight < 0) bits = vshlq_n_u32(bits, kRight < 0 ? -kRight : 0);
    return vreinterpretq_s32_u32(vandq_u32(bits, mask));
  });
}
/// Bits [kLow, kLow + kBits) of each lane, sign-extended, as f32.
template <int kLow, int kBits>
[[gnu::always_inline]] inline F32 field(const I32& x) {
  constexpr int kLeft = 32 - kLow - kBits;
  constexpr int kRight = 32 - kBits;
  return to_f32(of_four<I32>([&](int i) { return vshrq_n_s32(vshlq_n_s32(x.v[i], kLeft), kRight); }));
}
/// The same bits as an unsigned number.
template <int kLow, int kBits>
[[gnu::always_inline]] inline F32 unsigned_field(const I32& x) {
  const uint32x4_t mask = vdupq_n_u32((1U << kBits) - 1U);
  return of_four<F32>([&](int i) {
    const uint32x4_t bits = vreinterpretq_u32_s32(x.v[i]);
    if constexpr (kLow == 0) return vcvtq_f32_u32(vandq_u32(bits, mask));
    if constexpr (kLow != 0) return vcvtq_f32_u32(vandq_u32(vshrq_n_u32(bits, kLow == 0 ? 1 : kLow), mask));
  });
}
/// The E4M3 number in the bits from kLow on of each lane. With its exponent and mantissa moved to their places in an f32, it is 2^120 times
/// too small, also if it is subnormal, and is multiplied by that. NaN becomes 480.
template <int kLow>
[[gnu::always_inline]] inline F32 e4m3_at(const I32& x) {
  constexpr int kLeft = 24 - kLow;
  const int32x4_t places = vdupq_n_s32(static_cast<std::int32_t>(0x87f00000U));
  return of_four<F32>([&](int i) {
    const int32x4_t small = vandq_s32(vshrq_n_s32(vshlq_n_s32(x.v[i], kLeft), 4), places);
    return vmulq_n_f32(vreinterpretq_f32_s32(small), 0x1p120F);
  });
}
/// The four bits from kLow on of each lane, two's complement, as f32 times kNibbleUnit.
inline constexpr float kNibbleUnit = 1.0F;
template <int kLow>
[[gnu::always_inline]] inline F32 nibble_at(const I32& x) {
  return field<kLow, 4>(x);
}
/// The E2M1 number in the four bits from kLow on of each lane. With its bits moved to their places in an f32, it is 2^126 times too small,
/// also if it is subnormal, and is multiplied by that.
template <int kLow>
[[gnu::always_inline]] inline F32 e2m1_at(const I32& x) {
  constexpr int kLeft = 28 - kLow;
  const int32x4_t places = vdupq_n_s32(static_cast<std::int32_t>(0x81c00000U));
  return of_four<F32>([&](int i) {
    const int32x4_t small = vandq_s32(vshrq_n_s32(vshlq_n_s32(x.v[i], kLeft), 6), places);
    return vmulq_n_f32(vreinterpretq_f32_s32(small), 0x1p126F);
  });
}
/// For each byte of x, which is below 16, the byte of the 16-byte `table` at that index.
[[gnu::always_inline]] inline I32 look_up(const std::uint8_t* table, const I32& x) {
  const uint8x16_t numbers = vld1q_u8(table);
  return of_four<I32>([&](int i) { return vreinterpretq_s32_u8(vqtbl1q_u8(numbers, vreinterpretq_u8_s32(x.v[i]))); });
}
/// 16 scales in E8M0. The least one, 2^-127, is subnormal in f32.
[[gnu::always_inline]] inline F32 load_e8m0(const void* p) {
  const uint8x16_t bytes = vld1q_u8(static_cast<const std::uint8_t*>(p));
  const uint16x8_t halves[2] = {vmovl_u8(vget_low_u8(bytes)), vmovl_u8(vget_high_u8(bytes))};
  return of_four<F32>([&](int i) {
    const uint16x8_t half = halves[i / 2];
    const uint32x4_t exponents = vmovl_u16(i % 2 == 0 ? vget_low_u16(half) : vget_high_u16(half));
    return vreinterpretq_f32_u32(vmaxq_u32(vshlq_n_u32(exponents, 23), vdupq_n_u32(0x00400000)));
  });
}
/// Four columns of a vector of int4 tiles as int8, 16 times their value, so that the nibble is at the top of its byte:
/// columns 0, 4, 1, 5 from the low nibbles (kHigh false), 2, 6, 3, 7 from the high ones.
template <bool kHigh>
[[gnu::always_inline]] inline I32 nibble_bytes(const I32& x) {
  const int32x4_t top = vdupq_n_s32(static_cast<std::int32_t>(0xf0f0f0f0U));
  return of_four<I32>([&](int i) { return vandq_s32(kHigh ? x.v[i] : vshlq_n_s32(x.v[i], 4), top); });
}
/// 16 FP16 values.
[[gnu::always_inline]] inline F32 load_f16(const void* p) {
  const auto* from = static_cast<const char*>(p);
  return of_four<F32>([from](int i) { return vcvt_f32_f16(read<float16x4_t>(from + 8 * i)); });
}
[[gnu::always_inline]] inline void store_bf16(std::uint16_t* p, const F32& x) {
  for (int i = 0; i < 4; ++i) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x.v[i]);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd), 16);
    const uint32x4_t quiet = vorrq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(0x40));
    const uint32x4_t is_number = vceqq_f32(x.v[i], x.v[i]);
    vst1_u16(p + 4 * i, vmovn_u32(vbslq_u32(is_number, rounded, quiet)));
  }
}

/// acc + the dot product of the four int8 of each lane and four i16 activations, stored in the order 0, 2, 1, 3.
[[gnu::always_inline]] inline I32 dot_int8_i16(const I32& acc, const I32& w, const std::int16_t* x) {
  const int16x8_t even = vreinterpretq_s16_s32(vdupq_n_s32(read<std::int32_t>(x)));
  const int16x8_t odd = vreinterpretq_s16_s32(vdupq_n_s32(read<std::int32_t>(x + 2)));
  return of_four<I32>([&](int i) {
    const int16x8_t pairs = vreinterpretq_s16_s32(w.v[i]);
    const int16x8_t w_even = vshrq_n_s16(vshlq_n_s16(pairs, 8), 8);
    const int16x8_t w_odd = vshrq_n_s16(pairs, 8);
    const int32x4_t low =
        vmlal_s16(vmull_s16(vget_low_s16(w_even), vget_low_s16(even)), vget_low_s16(w_odd), vget_low_s16(odd));
    const int32x4_t high = vmlal_high_s16(vmull_high_s16(w_even, even), w_odd, odd);
    return vaddq_s32(acc.v[i], vpaddq_s32(low, high));
  });
}

}  // namespace secondsource::cpu::SS_CPU_ISA
