#pragma once
// Products of int8 and int16 by vpmaddwd. This instruction multiplies 16 pairs of int16 and adds each two neighbouring products. Three
// instructions widen 32 values of int8 to int16 in registers; widening them to f32 takes twelve.

#include "cpu/kernels/simd-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

inline constexpr int kLargestWord = 32767;

/// Four columns of int8, [16][4], as int16: columns 0 and 2, and columns 1 and 3 of each row.
struct ColumnPairs {
  I32 even, odd;

  [[gnu::always_inline]] explicit ColumnPairs(const I32& codes)
      : even{_mm256_srai_epi16(_mm256_slli_epi16(codes.a, 8), 8), _mm256_srai_epi16(_mm256_slli_epi16(codes.b, 8), 8)},
        odd{_mm256_srai_epi16(codes.a, 8), _mm256_srai_epi16(codes.b, 8)} {}
};

/// In assembly, because with the intrinsic g++ 12 copies sums from register to register in every step of a loop.
[[gnu::always_inline]] inline void add_in_place(I32& sum, const I32& x) {
  __asm__("vpaddd %1, %0, %0" : "+x"(sum.a) : "x"(x.a));
  __asm__("vpaddd %1, %0, %0" : "+x"(sum.b) : "x"(x.b));
}

/// Adds the products of four columns and four int16 at x, which are in the order 0, 2, 1, 3. |sum| has to stay below 2^31.
[[gnu::always_inline]] inline void add_products(I32& sum, const ColumnPairs& columns, const std::int16_t* x) {
  const __m256i x_even = _mm256_set1_epi32(read<std::int32_t>(x));
  const __m256i x_odd = _mm256_set1_epi32(read<std::int32_t>(x + 2));
  I32 even = {_mm256_madd_epi16(columns.even.a, x_even), _mm256_madd_epi16(columns.even.b, x_even)};
  I32 odd = {_mm256_madd_epi16(columns.odd.a, x_odd), _mm256_madd_epi16(columns.odd.b, x_odd)};
  // All four multiplications come before the additions. On a Zen 1, whose only port for multiplications takes additions, too, the order and
  // the copies of g++ 12 have 0.81 (int8) and 0.58 (int8-g32) of the rate of this order.
  __asm__("" : "+x"(even.a), "+x"(even.b), "+x"(odd.a), "+x"(odd.b));
  add_in_place(sum, even);
  add_in_place(sum, odd);
}

}  // namespace secondsource::cpu::SS_CPU_ISA
