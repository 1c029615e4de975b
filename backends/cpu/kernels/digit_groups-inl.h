#pragma once
// Activations in three int8 digits (activation_digits-inl.h), packed group by group for the kernels of matmul_codes-inl.h.

#include "cpu/kernels/activation_digits-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// ActType::kDigitGroups: the digits of 32 activations in the order of an int4 tile's nibbles, and the sums of the first 16, of the last 16
/// and of all activations as the digits represent them. ActType::kDigitGroupsInOrder: the same with digits in the order of columns.
struct DigitGroup {
  static constexpr int kDigits = kActivationDigits;

  std::int8_t digits[kDigits][kGroupColumns];
  float half_sums[2];
  float sum;
  std::int32_t digit_sums[kDigits];  ///< of the digits of each place; written for kDigitGroupsInOrder only
  std::byte unused[8];
};
static_assert(sizeof(DigitGroup) == 4 * kGroupColumns, "act_bytes() says how many bytes an activation takes");

/// The value of three digits, or of three sums of products with digits, in units of s.
inline F32 value_of_digits(const I32 (&digits)[kActivationDigits]) {
  const F32 unit = broadcast(kDigitUnits[1]);
  return fma(fma(to_f32(digits[2]), unit, to_f32(digits[1])), unit, to_f32(digits[0]));
}

template <bool kNibbleOrder>
inline void pack_digit_groups(const PackArgs& args) {
  const std::int64_t n_groups = args.k_padded / kGroupColumns;
  for (int m = 0; m < args.n_rows; ++m) {
    const float* const x = args.x + m * args.x_stride;
    const float scale = digit_scale<kActivationDigits>(x, args.k);
    args.row_scales[m] = scale;
    const bool is_finite = scale > 0.0F;
    auto* group = static_cast<DigitGroup*>(args.out) + m;
    for (std::int64_t at = 0; at < n_groups; ++at, group += args.n_rows) {
      I32 totals[kActivationDigits] = {zero_i32(), zero_i32(), zero_i32()};
      for (int half = 0; half < 2; ++half) {
        const std::int64_t k = at * kGroupColumns + half * 16;
        const F32 values = is_finite && k < args.k ? load_some(x + k, args.k - k) : zero();
        const Digits<kActivationDigits> digits = digits_of<kActivationDigits>(values, is_finite ? scale : 1.0F);
        for (int i = 0; i < kActivationDigits; ++i) {
          store_bytes<kNibbleOrder>(reinterpret_cast<std::byte*>(group->digits[i] + half * 16), digits.digit[i]);
        }
        group->half_sums[half] = reduce_add(value_of_digits(digits.digit));
        for (int i = 0; i < kActivationDigits; ++i) totals[i] = add_i32(totals[i], digits.digit[i]);
      }
      group->sum = group->half_sums[0] + group->half_sums[1];
      if constexpr (!kNibbleOrder) {
        // The sum of 32 digits is exact in f32.
        for (int i = 0; i < kActivationDigits; ++i) {
          group->digit_sums[i] = static_cast<std::int32_t>(reduce_add(to_f32(totals[i])));
        }
      }
    }
  }
}

/// Packs activations as groups of digits; other types are packed as on all instruction sets.
inline void pack_with_digit_groups(const PackArgs& args) {
  if (args.act == ActType::kDigitGroups) return pack_digit_groups<true>(args);
  if (args.act == ActType::kDigitGroupsInOrder) return pack_digit_groups<false>(args);
  pack_rows(args);
}

}  // namespace secondsource::cpu::SS_CPU_ISA
