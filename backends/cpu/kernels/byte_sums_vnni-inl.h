#pragma once
// Sums of products of codes and activations in int8 by vpdpbusd, for matmul_codes-inl.h. The sums are int32, so that codes may have eight
// bits without an overflow.

#include "cpu/kernels/byte_products-inl.h"
#include "cpu/kernels/digit_groups-inl.h"
#include "cpu/kernels/int8_groups-inl.h"
#include "cpu/kernels/matmul_k_blocks-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The sums of the products of codes with each digit of a row of activations, for 16 rows of the weight. Activations are a GroupOfAct,
/// packed as kActType; those quantized to int8 have one digit.
template <typename GroupOfAct, ActType kActType>
class VnniSums {
 public:
  using Group = GroupOfAct;
  static constexpr ActType kAct = kActType;
  static constexpr float kBias = 0.0F;
  static constexpr bool kTakesEightBits = true;

  [[gnu::always_inline]] VnniSums() {
#pragma GCC unroll 3
    for (int i = 0; i < Group::kDigits; ++i) sums_[i] = zero_i32();
  }

  /// Four columns, from column `first` of the group on.
  [[gnu::always_inline]] void add_four(const I32& codes, const Group& x, int first) {
#pragma GCC unroll 3
    for (int i = 0; i < Group::kDigits; ++i) add_products_with_four(sums_[i], codes, x.digits[i] + first);
  }

  static void end_span() {}

  /// Turns the sums into those of codes less 128. digit_sums: for each place, the sum of all digits that were multiplied.
  [[gnu::always_inline]] void subtract_bias(const std::int32_t (&digit_sums)[Group::kDigits]) {
#pragma GCC unroll 3
    for (int i = 0; i < Group::kDigits; ++i) {
      const std::int32_t bias = 128 * digit_sums[i];
      sums_[i] = sub_i32(sums_[i], four_bytes(&bias));
    }
  }

  [[nodiscard, gnu::always_inline]] F32 value() const {
    if constexpr (Group::kDigits == 1) {
      return to_f32(sums_[0]);
    } else {
      return value_of_digits(sums_);
    }
  }

 private:
  I32 sums_[Group::kDigits];
};

using DigitSums = VnniSums<DigitGroup, ActType::kDigitGroups>;
using Int8Sums = VnniSums<Int8Group, ActType::kI8Groups>;
/// For weights in column order.
using DigitSumsInOrder = VnniSums<DigitGroup, ActType::kDigitGroupsInOrder>;
using Int8SumsInOrder = VnniSums<Int8Group, ActType::kI8GroupsInOrder>;

}  // namespace secondsource::cpu::SS_CPU_ISA
