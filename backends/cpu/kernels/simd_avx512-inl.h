#pragma once
// Sixteen f32 or i32 lanes as one 512-bit register: AVX-512 F, BW, VL, DQ.

#include <immintrin.h>

#include "cpu/kernels/target-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

struct F32 {
  __m512 v;
};
struct I32 {
  __m512i v;
};

inline constexpr int kRowBlock = 12;      // 12 x 2 accumulators of 32 registers
inline constexpr int kAccumulators = 24;  // that fit in registers beside operands
inline constexpr int kPairFromRows = 5;   // fewer rows read one tile at a time: one memory stream is faster than two

inline F32 broadcast(float x) {
  return {_mm512_set1_ps(x)};
}
inline F32 zero() {
  return {_mm512_setzero_ps()};
}
inline F32 load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
inline void store(float* p, const F32& x) {
  _mm512_storeu_ps(p, x.v);
}
/// Stores to memory and not to a cache, at a 64-byte aligned address. Other threads see it after a store fence.
inline void store_past_caches(float* p, const F32& x) {
  _mm512_stream_ps(p, x.v);
}
inline F32 add(const F32& x, const F32& y) {
  return {_mm512_add_ps(x.v, y.v)};
}
inline F32 sub(const F32& x, const F32& y) {
  return {_mm512_sub_ps(x.v, y.v)};
}
inline F32 mul(const F32& x, const F32& y) {
  return {_mm512_mul_ps(x.v, y.v)};
}
inline F32 divide(const F32& x, const F32& y) {
  return {_mm512_div_ps(x.v, y.v)};
}
inline F32 fma(const F32& x, const F32& y, const F32& z) {
  return {_mm512_fmadd_ps(x.v, y.v, z.v)};
}
// Returns the second operand when either is NaN.
inline F32 max(const F32& x, const F32& y) {
  return {_mm512_max_ps(x.v, y.v)};
}
inline F32 min(const F32& x, const F32& y) {
  return {_mm512_min_ps(x.v, y.v)};
}
inline F32 absolute(const F32& x) {
  return {_mm512_abs_ps(x.v)};
}
/// The power of two at or below |x|; 0 for magnitudes below 2^-126.
inline F32 power_below(const F32& x) {
  return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x7f800000)))};
}
/// x where |test| < limit, else y.
inline F32 select_small(const F32& test, float limit, const F32& x, const F32& y) {
  const __mmask16 small = _mm512_cmp_ps_mask(_mm512_abs_ps(test.v), _mm512_set1_ps(limit), _CMP_LT_OQ);
  return {_mm512_mask_blend_ps(small, y.v, x.v)};
}
inline F32 round_even(const F32& x) {
  return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// x less the whole number at or below it.
inline F32 fraction(const F32& x) {
  return {_mm512_reduce_ps(x.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}
/// p * 2^n for the whole number n at or below x.
inline F32 scale_pow2_below(const F32& p, const F32& x) {
  return {_mm512_scalef_ps(p.v, x.v)};
}
/// p * 2^n for whole n.
inline F32 scale_pow2(const F32& p, const F32& n) {
  return {_mm512_scalef_ps(p.v, n.v)};
}
inline float reduce_add(const F32& x) {
  return _mm512_reduce_add_ps(x.v);
}
inline float reduce_max(const F32& x) {
  return _mm512_reduce_max_ps(x.v);
}
/// Lane i of the result combines all lanes of rows[i], for sixteen rows. Each step halves the number of vectors, so that there are 15
/// combinations and 30 shuffles instead of 64 of each.
template <typename Combine>
inline F32 reduce_rows(const F32* rows, const Combine& combine) {
  __m512 quarter[4];
  for (int i = 0; i < 4; ++i) {
    const __m512 a = rows[4 * i].v, b = rows[4 * i + 1].v, c = rows[4 * i + 2].v, d = rows[4 * i + 3].v;
    const __m512d ab = _mm512_castps_pd(combine(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    const __m512d cd = _mm512_castps_pd(combine(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
    quarter[i] = combine(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
  }
  const auto halves = [&](const __m512& x, const __m512& y) {
    return combine(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
  };
  return {halves(halves(quarter[0], quarter[1]), halves(quarter[2], quarter[3]))};
}
/// Lane i is the largest value of rows[i], for the first n of sixteen rows; a NaN may count or not.
inline F32 max_of_rows(const F32* rows, int /*n*/) {
  return reduce_rows(rows, [](const __m512& x, const __m512& y) { return _mm512_max_ps(x, y); });
}
/// Lane i is the sum of rows[i], for the first n of sixteen rows.
inline F32 sums_of_rows(const F32* rows, int /*n*/) {
  return reduce_rows(rows, [](const __m512& x, const __m512& y) { return _mm512_add_ps(x, y); });
}
/// Whether any lane is above the limit. A NaN does not count as above.
inline bool any_above(const F32& x, float limit) {
  return _mm512_cmp_ps_mask(x.v, _mm512_set1_ps(limit), _CMP_GT_OQ) != 0;
}

inline I32 zero_i32() {
  return {_mm512_setzero_si512()};
}
inline I32 load_i32(const void* p) {
  return {_mm512_loadu_si512(p)};
}
inline void store_i32(void* p, const I32& x) {
  _mm512_storeu_si512(p, x.v);
}
/// Stores the low byte of each lane. kNibbleOrder: within each eight lanes, in the order 0, 4, 1, 5, 2, 6, 3, 7.
template <bool kNibbleOrder>
inline void store_bytes(std::byte* p, const I32& x) {
  __m128i bytes = _mm512_cvtepi32_epi8(x.v);
  if constexpr (kNibbleOrder) {
    bytes = _mm_shuffle_epi8(bytes, _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
  }
  _mm_storeu_si128(static_cast<__m128i*>(static_cast<void*>(p)), bytes);
}
/// Stores the low 16 bits of each lane. The order within each eight lanes is 0, 2, 1, 3, 4, 6, 5, 7, or with kNibbleOrder 0, 1, 4, 5, 2, 3,
/// 6, 7.
template <bool kNibbleOrder>
inline void store_words(std::byte* p, const I32& x) {
  const __m128i order = kNibbleOrder ? _mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15)
                                     : _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
  const __m256i words = _mm256_shuffle_epi8(_mm512_cvtepi32_epi16(x.v), _mm256_broadcastsi128_si256(order));
  _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(p)), words);
}
inline I32 add_i32(const I32& x, const I32& y) {
  return {_mm512_add_epi32(x.v, y.v)};
}
inline F32 to_f32(const I32& x) {
  return {_mm512_cvtepi32_ps(x.v)};
}
inline I32 to_i32(const F32& x) {
  return {_mm512_cvtps_epi32(x.v)};
}
/// 16 int8 values.
inline F32 load_i8(const void* p) {
  return to_f32({_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)))});
}
/// Both BF16 halves of each lane as f32.
inline F32 bf16_even(const I32& x) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(x.v, 16))};
}
inline F32 bf16_odd(const I32& x) {
  return {_mm512_castsi512_ps(_mm512_and_si512(x.v, _mm512_set1_epi32(static_cast<int>(0xffff0000U))))};
}
/// Each lane shifted to the right by kRight bits, or to the left by -kRight if that is negative, without the bits outside kMask.
template <int kRight, std::uint32_t kMask>
inline I32 shifted_bits(const I32& x) {
  const __m512i mask = _mm512_set1_epi32(static_cast<int>(kMask));
  if constexpr (kRight > 0) return {_mm512_and_si512(_mm512_srli_epi32(x.v, kRight), mask)};
  if constexpr (kRight < 0) return {_mm512_and_si512(_mm512_slli_epi32(x.v, -kRight), mask)};
  return {_mm512_and_si512(x.v, mask)};
}
/// Each lane with the bits of kMask inverted.
template <std::uint32_t kMask>
inline I32 flipped_bits(const I32& x) {
  return {_mm512_xor_si512(x.v, _mm512_set1_epi32(static_cast<int>(kMask)))};
}
/// Bits [kLow, kLow + kBits) of each lane, sign-extended, as f32.
template <int kLow, int kBits>
inline F32 field(const I32& x) {
  constexpr int kLeft = 32 - kLow - kBits;
  constexpr int kRight = 32 - kBits;
  if constexpr (kLeft == 0) return to_f32({_mm512_srai_epi32(x.v, kRight)});
  return to_f32({_mm512_srai_epi32(_mm512_slli_epi32(x.v, kLeft), kRight)});
}
/// The same bits as an unsigned number. Fields of four bits are looked up in a table, which ignores higher bits.
template <int kLow, int kBits>
inline F32 unsigned_field(const I32& x) {
  if constexpr (kLow + kBits == 32) return to_f32({_mm512_srli_epi32(x.v, kLow)});
  if constexpr (kBits != 4) return to_f32(shifted_bits<kLow, (1U << kBits) - 1>(x));
  const __m512 values = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return {_mm512_permutexvar_ps(_mm512_srli_epi32(x.v, kLow), values)};
}
/// The E4M3 number in the bits from kLow on of each lane. With its exponent and mantissa moved to their places in an f32, it is 2^120 times
/// too small, also if it is subnormal, and is multiplied by that. NaN becomes 480.
template <int kLow>
inline F32 e4m3_at(const I32& x) {
  const __m512i places = _mm512_set1_epi32(static_cast<int>(0x87f00000U));
  const __m512i small = _mm512_and_si512(_mm512_srai_epi32(_mm512_slli_epi32(x.v, 24 - kLow), 4), places);
  return mul({_mm512_castsi512_ps(small)}, broadcast(0x1p120F));
}
/// The four bits from kLow on of each lane, two's complement, as f32 times kNibbleUnit. They are looked up in a table: one permutation
/// replaces three instructions, and it ignores the higher bits of its index.
inline constexpr float kNibbleUnit = 1.0F;
template <int kLow>
inline F32 nibble_at(const I32& x) {
  const __m512 values = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  return {_mm512_permutexvar_ps(_mm512_srli_epi32(x.v, kLow), values)};
}
/// The E2M1 number in the four bits from kLow on of each lane, also from a table.
template <int kLow>
inline F32 e2m1_at(const I32& x) {
  const __m512 values = _mm512_setr_ps(0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6);
  return {_mm512_permutexvar_ps(_mm512_srli_epi32(x.v, kLow), values)};
}
/// For each byte of x, which is below 16, the byte of the 16-byte `table` at that index.
inline I32 look_up(const std::uint8_t* table, const I32& x) {
  const __m128i numbers = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(numbers), x.v)};
}
/// 16 scales in E8M0. The least one, 2^-127, is subnormal in f32.
inline F32 load_e8m0(const void* p) {
  const __m512i exponents = _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  const __m512i bits = _mm512_max_epi32(_mm512_slli_epi32(exponents, 23), _mm512_set1_epi32(0x00400000));
  return {_mm512_castsi512_ps(bits)};
}
/// Four columns of a vector of int4 tiles as int8, 16 times their value, so that the nibble is at the top of its byte:
/// columns 0, 4, 1, 5 from the low nibbles (kHigh false), 2, 6, 3, 7 from the high ones.
template <bool kHigh>
inline I32 nibble_bytes(const I32& x) {
  const __m512i top = _mm512_set1_epi8(static_cast<char>(0xf0));
  if constexpr (kHigh) return {_mm512_and_si512(x.v, top)};
  return {_mm512_and_si512(_mm512_slli_epi32(x.v, 4), top)};
}
/// The same for mxfp4 tiles, with twice their value.
template <bool kHigh>
inline I32 doubled_e2m1_bytes(const I32& x) {
  const __m128i numbers = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
  const __m512i nibbles = _mm512_and_si512(kHigh ? _mm512_srli_epi16(x.v, 4) : x.v, _mm512_set1_epi8(15));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(numbers), nibbles)};
}
/// 16 FP16 values.
inline F32 load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline void store_bf16(std::uint16_t* p, const F32& x) {
#ifdef __AVX512BF16__
  const auto bits = (__m256i)_mm512_cvtneps_pbh(x.v);
#else
  const __m512i wide = _mm512_castps_si512(x.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(wide, 16), _mm512_set1_epi32(1));
  const __m512i rounded =
      _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(wide, _mm512_set1_epi32(0x7fff)), odd), 16);
  const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(wide, 16), _mm512_set1_epi32(0x40));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  const __m256i bits = _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(is_nan, rounded, quiet));
#endif
  _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(p)), bits);
}

/// Stores 32 values: x, then y.
inline void store_bf16_pair(std::uint16_t* p, const F32& x, const F32& y) {
#ifdef __AVX512BF16__
  _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(y.v, x.v));
#else
  store_bf16(p, x);
  store_bf16(p + 16, y);
#endif
}

/// acc + the dot product of the four int8 of each lane and four i16 activations, stored in the order 0, 2, 1, 3.
inline I32 dot_int8_i16(const I32& acc, const I32& w, const std::int16_t* x) {
  const __m512i even = _mm512_srai_epi16(_mm512_slli_epi16(w.v, 8), 8);
  const __m512i odd = _mm512_srai_epi16(w.v, 8);
  const __m512i first = _mm512_madd_epi16(even, _mm512_set1_epi32(read<std::int32_t>(x)));
  const __m512i second = _mm512_madd_epi16(odd, _mm512_set1_epi32(read<std::int32_t>(x + 2)));
  return {_mm512_add_epi32(acc.v, _mm512_add_epi32(first, second))};
}

}  // namespace secondsource::cpu::SS_CPU_ISA
