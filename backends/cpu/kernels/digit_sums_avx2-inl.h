#pragma once
// Sums of products of codes and digits with vpmaddubsw, for matmul_codes-inl.h. This instruction multiplies 32 unsigned codes by int8
// digits, and takes the time of a multiply-add in f32, which multiplies eight.
//
// The products are added in 16 bits over a span of columns. A 16-bit lane gets half of them, and a span is so short that its sum cannot
// overflow: 32 columns of int4, q4_1 and q4_k (15 * 127 * 16 at most), 16 of mxfp4 (24 * 127 * 8) and of codes of five bits
// (31 * 127 * 8), and 8 of q6_k (63 * 127 * 4). Spans of q2_k and q3_k end after the 16 columns that share a scale. Spans are added in 32
// bits. The codes of iq4_nl and iq4_xs have eight bits, with which the sum of two products would overflow.

#include "cpu/kernels/digit_groups-inl.h"
#include "cpu/kernels/matmul_k_blocks-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The sums of the products of codes with each digit, for 16 rows of the weight and one of activations.
class MaddubsSums {
 public:
  using Group = DigitGroup;
  static constexpr ActType kAct = ActType::kDigitGroups;
  static constexpr float kBias = 0.0F;
  static constexpr bool kTakesEightBits = false;

  [[gnu::always_inline]] MaddubsSums() : first_two_(zero_i32()), last_(zero_i32()) {
#pragma GCC unroll 3
    for (int i = 0; i < kActivationDigits; ++i) of_span_[i] = zero_i32();
  }

  static CodeBytes operands(const CodeBytes& codes) {
    return codes;
  }

  /// Eight columns, from column `first` of the group on.
  [[gnu::always_inline]] void add(const CodeBytes& codes, const DigitGroup& x, int first) {
    add_four(codes.of_low_nibbles, x.digits[0] + first);
    add_four(codes.of_high_nibbles, x.digits[0] + first + 4);
  }

  /// The sums of the first two digits are added here, in units of the second one: below 254 * 2^17, exact in int32.
  [[gnu::always_inline]] void end_span() {
    first_two_ = add_i32(first_two_, sums_of_pairs(of_span_[0], static_cast<short>(kDigitBase)));
    first_two_ = add_i32(first_two_, sums_of_pairs(of_span_[1], 1));
    last_ = add_i32(last_, sums_of_pairs(of_span_[2], 1));
#pragma GCC unroll 3
    for (int i = 0; i < kActivationDigits; ++i) of_span_[i] = zero_i32();
  }

  /// The sums of all spans that have ended.
  [[nodiscard, gnu::always_inline]] F32 value() const {
    return fma(to_f32(last_), broadcast(kDigitUnits[2]), mul(to_f32(first_two_), broadcast(kDigitUnits[1])));
  }

 private:
  [[gnu::always_inline]] void add_four(const I32& codes, const std::int8_t* digits) {
    I32 products[kActivationDigits];
#pragma GCC unroll 3
    for (int i = 0; i < kActivationDigits; ++i) {
      const __m256i of_four = _mm256_set1_epi32(read<std::int32_t>(digits + i * kGroupColumns));
      products[i] = {_mm256_maddubs_epi16(codes.a, of_four), _mm256_maddubs_epi16(codes.b, of_four)};
    }
    // All multiplications come before the additions, as in word_products-inl.h. On a Zen 1 (2026-12-01) this has 0.97 to 1.07
    // times the rate of additions after each multiplication; the gain is largest with int4 and int4-zp.
    __asm__(""
            : "+x"(products[0].a), "+x"(products[0].b), "+x"(products[1].a), "+x"(products[1].b), "+x"(products[2].a),
              "+x"(products[2].b));
#pragma GCC unroll 3
    for (int i = 0; i < kActivationDigits; ++i) {
      I32& sum = of_span_[i];
      sum = {_mm256_add_epi16(sum.a, products[i].a), _mm256_add_epi16(sum.b, products[i].b)};
      // Without this g++ adds the products of a span in pairs, and has to keep them in memory until then.
      __asm__("" : "+x"(sum.a), "+x"(sum.b));
    }
  }

  /// The sums of the two 16-bit numbers of each lane, times `unit`.
  [[gnu::always_inline]] static I32 sums_of_pairs(const I32& pairs, short unit) {
    const __m256i units = _mm256_set1_epi16(unit);
    return {_mm256_madd_epi16(pairs.a, units), _mm256_madd_epi16(pairs.b, units)};
  }

  I32 of_span_[kActivationDigits];  ///< two sums of 16 bits for each row, of the span that has not ended
  I32 first_two_, last_;            ///< a sum of 32 bits for each row, of the spans that have ended
};

}  // namespace secondsource::cpu::SS_CPU_ISA
