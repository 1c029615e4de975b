#pragma once
// The instruction vpdpbusd, which adds four products of an unsigned and a signed byte to each int32 lane. AVX-512 VNNI has it for vectors
// of 512 bits, and AVX-VNNI, which CPUs without AVX-512 may have as well, for 256 bits. Code that uses this file is written once for both.

#ifndef SS_CPU_ISA  // compiled on its own: see target-inl.h
#define SS_CPU_ISA avx512_vnni
#define SS_CPU_SIMD_AVX512
#endif

#include "cpu/kernels/simd-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

#ifdef SS_CPU_SIMD_AVX512

/// sums + the products.
[[gnu::always_inline]] inline I32 add_products(const I32& sums, const I32& unsigned_bytes, const I32& signed_bytes) {
  return {_mm512_dpbusd_epi32(sums.v, unsigned_bytes.v, signed_bytes.v)};
}
/// The same in place. Written in assembly, because with the intrinsic g++ 12 moves the sums between registers and to memory in every step
/// of a kernel that has two sums for each row.
[[gnu::always_inline]] inline void add_products_in_place(I32& sums, const I32& unsigned_bytes,
                                                         const I32& signed_bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums.v) : "v"(unsigned_bytes.v), "v"(signed_bytes.v));
}
/// To be called for each sum behind a loop. Without it g++ 12 chooses registers for the loop and for what follows it together, and has none
/// left for some of the sums in the loop.
[[gnu::always_inline]] inline void keep_in_registers(I32& sums) {
  asm("" : "+v"(sums.v));
}
/// The same four bytes in each lane.
[[gnu::always_inline]] inline I32 four_bytes(const void* p) {
  return {_mm512_set1_epi32(read<std::int32_t>(p))};
}
/// Adds the products with the same four signed bytes in each lane, which the instruction reads from memory.
[[gnu::always_inline]] inline void add_products_with_four(I32& sums, const I32& unsigned_bytes, const void* p) {
  sums = add_products(sums, unsigned_bytes, four_bytes(p));
}
/// The first n lanes, and zeros in the others.
inline I32 load_lanes(const void* p, int n) {
  return {_mm512_maskz_loadu_epi32(static_cast<__mmask16>((1U << n) - 1), p)};
}
inline I32 sub_i32(const I32& x, const I32& y) {
  return {_mm512_sub_epi32(x.v, y.v)};
}
inline I32 max_unsigned(const I32& x, const I32& y) {
  return {_mm512_max_epu32(x.v, y.v)};
}
inline unsigned reduce_max_unsigned(const I32& x) {
  return _mm512_reduce_max_epu32(x.v);
}
/// Eight columns of int4 in column order, four in each of two vectors, of nibble_bytes<false>() and nibble_bytes<true>().
inline void nibbles_in_column_order(const I32& of_low, const I32& of_high, I32 (&columns)[2]) {
  // Bytes 0, 2, 1, 3 of each lane, so that the columns 0, 4, 1, 5 become 0, 1, 4, 5.
  const __m512i swap = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15));
  constexpr __mmask32 kUpperHalves = 0xaaaaaaaaU;
  const __m512i low = _mm512_shuffle_epi8(of_low.v, swap);    // columns 0, 1, 4, 5
  const __m512i high = _mm512_shuffle_epi8(of_high.v, swap);  // columns 2, 3, 6, 7
  columns[0] = {_mm512_mask_blend_epi16(kUpperHalves, low, _mm512_slli_epi32(high, 16))};
  columns[1] = {_mm512_mask_blend_epi16(kUpperHalves, _mm512_srli_epi32(low, 16), high)};
}

#else

[[gnu::always_inline]] inline I32 add_products(const I32& sums, const I32& unsigned_bytes, const I32& signed_bytes) {
  return {_mm256_dpbusd_avx_epi32(sums.a, unsigned_bytes.a, signed_bytes.a),
          _mm256_dpbusd_avx_epi32(sums.b, unsigned_bytes.b, signed_bytes.b)};
}
[[gnu::always_inline]] inline void add_products_in_place(I32& sums, const I32& unsigned_bytes,
                                                         const I32& signed_bytes) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums.a) : "x"(unsigned_bytes.a), "x"(signed_bytes.a));
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums.b) : "x"(unsigned_bytes.b), "x"(signed_bytes.b));
}
[[gnu::always_inline]] inline void keep_in_registers(I32& sums) {
  asm("" : "+x"(sums.a), "+x"(sums.b));
}
[[gnu::always_inline]] inline I32 four_bytes(const void* p) {
  const __m256i lanes = _mm256_set1_epi32(read<std::int32_t>(p));
  return {lanes, lanes};
}
/// In place, so that the sums of two rows stay in the 16 registers: 1.1 to 1.3 times as fast as the intrinsic with g++ 12 (Zen 5).
[[gnu::always_inline]] inline void add_products_with_four(I32& sums, const I32& unsigned_bytes, const void* p) {
  add_products_in_place(sums, unsigned_bytes, four_bytes(p));
}
inline I32 load_lanes(const void* p, int n) {
  const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const auto* const lanes = static_cast<const int*>(p);
  return {_mm256_maskload_epi32(lanes, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), numbers)),
          _mm256_maskload_epi32(lanes + 8, _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), numbers))};
}
inline I32 sub_i32(const I32& x, const I32& y) {
  return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
inline I32 max_unsigned(const I32& x, const I32& y) {
  return {_mm256_max_epu32(x.a, y.a), _mm256_max_epu32(x.b, y.b)};
}
inline unsigned reduce_max_unsigned(const I32& x) {
  const __m256i eight = _mm256_max_epu32(x.a, x.b);
  const __m128i four = _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
  return static_cast<unsigned>(_mm_cvtsi128_si32(_mm_max_epu32(two, _mm_shuffle_epi32(two, 0xb1))));
}
inline void nibbles_in_column_order(const I32& of_low, const I32& of_high, I32 (&columns)[2]) {
  const __m256i swap = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15));
  const auto in_order = [swap](__m256i low_nibbles, __m256i high_nibbles, __m256i& first, __m256i& second) {
    const __m256i low = _mm256_shuffle_epi8(low_nibbles, swap);
    const __m256i high = _mm256_shuffle_epi8(high_nibbles, swap);
    first = _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa);
    second = _mm256_blend_epi16(_mm256_srli_epi32(low, 16), high, 0xaa);
  };
  in_order(of_low.a, of_high.a, columns[0].a, columns[1].a);
  in_order(of_low.b, of_high.b, columns[0].b, columns[1].b);
}

#endif

}  // namespace secondsource::cpu::SS_CPU_ISA
