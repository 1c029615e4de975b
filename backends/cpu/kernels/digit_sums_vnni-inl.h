#pragma once
// Sums of products of codes and digits with the AVX-512 instruction vpdpbusd, for matmul_codes-inl.h. It adds four products of an
// unsigned and a signed byte to each int32 lane, so that codes may have eight bits and nothing overflows.

#include "cpu/kernels/digit_groups-inl.h"
#include "cpu/kernels/matmul_k_blocks-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The sums of the products of codes with each digit, for 16 rows of the weight and one of activations.
class VnniSums {
 public:
  using Group = DigitGroup;
  static constexpr ActType kAct = ActType::kDigitGroups;
  static constexpr float kBias = 0.0F;
  static constexpr bool kTakesEightBits = true;

  [[gnu::always_inline]] VnniSums() {
#pragma GCC unroll 3
    for (int i = 0; i < kActivationDigits; ++i) sums_[i] = zero_i32();
  }

  static CodeBytes operands(const CodeBytes& codes) {
    return codes;
  }

  /// Eight columns, from column `first` of the group on.
  [[gnu::always_inline]] void add(const CodeBytes& codes, const DigitGroup& x, int first) {
    add_four(codes.of_low_nibbles, x.digits[0] + first);
    add_four(codes.of_high_nibbles, x.digits[0] + first + 4);
  }

  static void end_span() {}

  [[nodiscard, gnu::always_inline]] F32 value() const {
    return value_of_digits(sums_);
  }

 private:
  [[gnu::always_inline]] void add_four(const I32& codes, const std::int8_t* digits) {
#pragma GCC unroll 3
    for (int i = 0; i < kActivationDigits; ++i) {
      const __m512i of_four = _mm512_set1_epi32(read<std::int32_t>(digits + i * kGroupColumns));
      sums_[i] = {_mm512_dpbusd_epi32(sums_[i].v, codes.v, of_four)};
    }
  }

  I32 sums_[kActivationDigits];
};

}  // namespace secondsource::cpu::SS_CPU_ISA
