#pragma once
// Sixteen f32 or i32 lanes as two 256-bit registers: AVX2, FMA, F16C.

#include <immintrin.h>

#include "cpu/kernels/target-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

struct F32 {
  __m256 a, b;
};
struct I32 {
  __m256i a, b;
};

inline constexpr int kRowBlock = 6;       // 12 accumulators of 16 registers
inline constexpr int kAccumulators = 6;   // that fit in registers beside operands
inline constexpr int kPairFromRows = 99;  // never two tiles at once

inline F32 broadcast(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
inline F32 zero() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
inline F32 load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
inline void store(float* p, const F32& x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
/// Stores to memory and not to a cache, at a 64-byte aligned address. Other threads see it after a store fence.
inline void store_past_caches(float* p, const F32& x) {
  _mm256_stream_ps(p, x.a);
  _mm256_stream_ps(p + 8, x.b);
}
inline F32 add(const F32& x, const F32& y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
inline F32 sub(const F32& x, const F32& y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
inline F32 mul(const F32& x, const F32& y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
inline F32 divide(const F32& x, const F32& y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
inline F32 fma(const F32& x, const F32& y, const F32& z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
// Returns the second operand when either is NaN.
inline F32 max(const F32& x, const F32& y) {
  return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
inline F32 min(const F32& x, const F32& y) {
  return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
inline F32 absolute(const F32& x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
/// The power of two at or below |x|; 0 for magnitudes below 2^-126.
inline F32 power_below(const F32& x) {
  const __m256 exponent = _mm256_castsi256_ps(_mm256_set1_epi32(0x7f800000));
  return {_mm256_and_ps(exponent, x.a), _mm256_and_ps(exponent, x.b)};
}
/// x where |test| < limit, else y.
inline F32 select_small(const F32& test, float limit, const F32& x, const F32& y) {
  const F32 size = absolute(test);
  const __m256 bound = _mm256_set1_ps(limit);
  return {_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(size.a, bound, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(size.b, bound, _CMP_LT_OQ))};
}
inline F32 round_even(const F32& x) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.a, kMode), _mm256_round_ps(x.b, kMode)};
}
inline __m256 pow2_8(__m256 p, __m256 n) {
  const __m256i bits = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(p, _mm256_castsi256_ps(bits));
}
/// p * 2^n for whole n in [-126, 127].
inline F32 scale_pow2(const F32& p, const F32& n) {
  return {pow2_8(p.a, n.a), pow2_8(p.b, n.b)};
}
inline float reduce_add(const F32& x) {
  const __m256 s = _mm256_add_ps(x.a, x.b);
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
inline float reduce_max(const F32& x) {
  const __m256 s = _mm256_max_ps(x.a, x.b);
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
/// Whether any lane is above the limit. A NaN does not count as above.
inline bool any_above(const F32& x, float limit) {
  const __m256 limits = _mm256_set1_ps(limit);
  return _mm256_movemask_ps(
             _mm256_or_ps(_mm256_cmp_ps(x.a, limits, _CMP_GT_OQ), _mm256_cmp_ps(x.b, limits, _CMP_GT_OQ))) != 0;
}

inline I32 zero_i32() {
  return {_mm256_setzero_si256(), _mm256_setzero_si256()};
}
inline I32 load_i32(const void* p) {
  const auto* from = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1)};
}
inline void store_i32(void* p, const I32& x) {
  auto* to = static_cast<__m256i*>(p);
  _mm256_storeu_si256(to, x.a);
  _mm256_storeu_si256(to + 1, x.b);
}
/// Stores the low byte of each lane. kNibbleOrder: within each eight lanes, in the order 0, 4, 1, 5, 2, 6, 3, 7.
template <bool kNibbleOrder>
inline void store_bytes(std::byte* p, const I32& x) {
  const __m256i low_byte = _mm256_set1_epi32(0xff);
  const __m256i words = _mm256_packus_epi32(_mm256_and_si256(x.a, low_byte), _mm256_and_si256(x.b, low_byte));
  const __m256i bytes = _mm256_packus_epi16(words, words);
  // `low` has the bytes of lanes 0 to 3 and 8 to 11, `high` those of lanes 4 to 7 and 12 to 15.
  const __m128i low = _mm256_castsi256_si128(bytes);
  const __m128i high = _mm256_extracti128_si256(bytes, 1);
  auto* const to = static_cast<__m128i*>(static_cast<void*>(p));
  _mm_storeu_si128(to, kNibbleOrder ? _mm_unpacklo_epi8(low, high) : _mm_unpacklo_epi32(low, high));
}
/// Stores each lane, whose value fits in an int16, in 16 bits. The order within each eight lanes is 0, 2, 1, 3, 4, 6, 5, 7, or with
/// kNibbleOrder 0, 1, 4, 5, 2, 3, 6, 7.
template <bool kNibbleOrder>
inline void store_words(std::byte* p, const I32& x) {
  const __m128i order = kNibbleOrder ? _mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15)
                                     : _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
  // vpackssdw works on halves of a register, so that its result has lanes 0 to 3 and 8 to 11 first; the permutation restores the order.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
  _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(p)),
                      _mm256_shuffle_epi8(words, _mm256_broadcastsi128_si256(order)));
}
inline I32 add_i32(const I32& x, const I32& y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
inline F32 to_f32(const I32& x) {
  return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
inline I32 to_i32(const F32& x) {
  return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)};
}
/// 16 int8 values.
inline F32 load_i8(const void* p) {
  const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return to_f32({_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))});
}
/// Both BF16 halves of each lane as f32.
inline F32 bf16_even(const I32& x) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(x.a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(x.b, 16))};
}
inline F32 bf16_odd(const I32& x) {
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff0000U));
  return {_mm256_castsi256_ps(_mm256_and_si256(x.a, mask)), _mm256_castsi256_ps(_mm256_and_si256(x.b, mask))};
}
/// Each lane shifted to the right by kRight bits, or to the left by -kRight if that is negative, without the bits outside kMask.
template <int kRight, std::uint32_t kMask>
inline I32 shifted_bits(const I32& x) {
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(kMask));
  const auto shifted = [](__m256i lanes) {
    if constexpr (kRight > 0) return _mm256_srli_epi32(lanes, kRight);
    if constexpr (kRight < 0) return _mm256_slli_epi32(lanes, -kRight);
    return lanes;
  };
  return {_mm256_and_si256(shifted(x.a), mask), _mm256_and_si256(shifted(x.b), mask)};
}
/// Each lane with the bits of kMask inverted.
template <std::uint32_t kMask>
inline I32 flipped_bits(const I32& x) {
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(kMask));
  return {_mm256_xor_si256(x.a, mask), _mm256_xor_si256(x.b, mask)};
}
/// Bits [kLow, kLow + kBits) of each lane, sign-extended, as f32.
template <int kLow, int kBits>
inline F32 field(const I32& x) {
  constexpr int kLeft = 32 - kLow - kBits;
  constexpr int kRight = 32 - kBits;
  return to_f32({_mm256_srai_epi32(_mm256_slli_epi32(x.a, kLeft), kRight),
                 _mm256_srai_epi32(_mm256_slli_epi32(x.b, kLeft), kRight)});
}
/// The same bits as an unsigned number.
template <int kLow, int kBits>
inline F32 unsigned_field(const I32& x) {
  if constexpr (kLow + kBits == 32) return to_f32({_mm256_srli_epi32(x.a, kLow), _mm256_srli_epi32(x.b, kLow)});
  return to_f32(shifted_bits<kLow, (1U << kBits) - 1>(x));
}
/// The E4M3 number in the bits from kLow on of each lane. With its exponent and mantissa moved to their places in an f32, it is 2^120 times
/// too small, also if it is subnormal, and is multiplied by that. NaN becomes 480.
template <int kLow>
inline F32 e4m3_at(const I32& x) {
  const __m256i places = _mm256_set1_epi32(static_cast<int>(0x87f00000U));
  const auto small = [places](__m256i lanes) {
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_srai_epi32(_mm256_slli_epi32(lanes, 24 - kLow), 4), places));
  };
  return mul({small(x.a), small(x.b)}, broadcast(0x1p120F));
}
/// The four bits from kLow on of each lane, two's complement, as f32 times kNibbleUnit. The bits are moved to the top of the lane and stay
/// there, so that one shift is enough; CPUs have fewer ports for shifts than for masks.
inline constexpr float kNibbleUnit = 0x1p28F;
template <int kLow>
inline F32 nibble_at(const I32& x) {
  constexpr int kLeft = 28 - kLow;
  const __m256i top = _mm256_set1_epi32(static_cast<int>(0xf0000000U));
  return to_f32(
      {_mm256_and_si256(_mm256_slli_epi32(x.a, kLeft), top), _mm256_and_si256(_mm256_slli_epi32(x.b, kLeft), top)});
}
/// For each byte of x, which is below 16, the byte of the 16-byte `table` at that index.
inline I32 look_up(const std::uint8_t* table, const I32& x) {
  const __m128i numbers = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  const __m256i twice = _mm256_broadcastsi128_si256(numbers);
  return {_mm256_shuffle_epi8(twice, x.a), _mm256_shuffle_epi8(twice, x.b)};
}
/// The E2M1 number in the four bits from kLow on of each lane. A table has twice the number plus 12, of four nibbles at once. Below the
/// exponent of 2^22 the lowest bit of a mantissa is worth 1/2, so that these are the low bits of 2^22 + 6 + the number, from which the rest
/// is subtracted exactly. On a Zen 1 (2026-12-01) one to six rows have 1.18 to 1.29 times the rate that they have with a permutation of
/// magnitudes in f32. If the bits of the number were moved to their places in an f32, 0.5 would be subnormal, and a product with it takes
/// more than a hundred cycles on CPUs of Intel.
template <int kLow>
inline F32 e2m1_at(const I32& x) {
  constexpr char kNone = -1;  // makes a byte 0
  constexpr char kByte = kLow / 8;
  const I32 numbers = look_up(kDoubledE2m1Plus12, shifted_bits<kLow % 8, 0x0f0f0f0fU>(x));
  const __m256i lowest =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(kByte, kNone, kNone, kNone, kByte + 4, kNone, kNone, kNone, kByte + 8,
                                                kNone, kNone, kNone, kByte + 12, kNone, kNone, kNone));
  const __m256i exponent = _mm256_castps_si256(_mm256_set1_ps(0x1p22F));
  const auto number = [&](__m256i lanes) {
    const __m256i bits = _mm256_or_si256(_mm256_shuffle_epi8(lanes, lowest), exponent);
    return _mm256_sub_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(0x1p22F + 6.0F));
  };
  return {number(numbers.a), number(numbers.b)};
}
/// 16 scales in E8M0. The least one, 2^-127, is subnormal in f32.
inline F32 load_e8m0(const void* p) {
  const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
  const auto scales = [](__m256i exponents) {
    return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_slli_epi32(exponents, 23), _mm256_set1_epi32(0x00400000)));
  };
  return {scales(_mm256_cvtepu8_epi32(bytes)), scales(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}
/// Four columns of a vector of int4 tiles as int8, 16 times their value, so that the nibble is at the top of its byte:
/// columns 0, 4, 1, 5 from the low nibbles (kHigh false), 2, 6, 3, 7 from the high ones.
template <bool kHigh>
inline I32 nibble_bytes(const I32& x) {
  const __m256i top = _mm256_set1_epi8(static_cast<char>(0xf0));
  if constexpr (kHigh) return {_mm256_and_si256(x.a, top), _mm256_and_si256(x.b, top)};
  return {_mm256_and_si256(_mm256_slli_epi32(x.a, 4), top), _mm256_and_si256(_mm256_slli_epi32(x.b, 4), top)};
}
/// 16 FP16 values.
inline F32 load_f16(const void* p) {
  const auto* from = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(from)), _mm256_cvtph_ps(_mm_loadu_si128(from + 1))};
}
inline __m256i bf16_lanes(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
  const __m256 is_nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
  return _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(is_nan));
}
inline void store_bf16(std::uint16_t* p, const F32& x) {
  // packus works within 128-bit halves; the permutation restores the order.
  const __m256i packed = _mm256_packus_epi32(bf16_lanes(x.a), bf16_lanes(x.b));
  _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(p)), _mm256_permute4x64_epi64(packed, 0xd8));
}

inline __m256i dot_quad8(__m256i acc, __m256i w, __m256i x_even, __m256i x_odd) {
  const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
  const __m256i odd = _mm256_srai_epi16(w, 8);
  acc = _mm256_add_epi32(acc, _mm256_madd_epi16(even, x_even));
  return _mm256_add_epi32(acc, _mm256_madd_epi16(odd, x_odd));
}
/// acc + the dot product of the four int8 of each lane and four i16 activations, stored in the order 0, 2, 1, 3.
inline I32 dot_int8_i16(const I32& acc, const I32& w, const std::int16_t* x) {
  const __m256i even = _mm256_set1_epi32(read<std::int32_t>(x));
  const __m256i odd = _mm256_set1_epi32(read<std::int32_t>(x + 2));
  return {dot_quad8(acc.a, w.a, even, odd), dot_quad8(acc.b, w.b, even, odd)};
}

}  // namespace secondsource::cpu::SS_CPU_ISA
