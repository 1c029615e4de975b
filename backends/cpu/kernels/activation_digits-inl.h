#pragma once
// Activations as int8 digits, so that int8 instructions multiply them without quantizing them:
//
//   x = s * (d0 + d1 / 254 + d2 / 254^2) + e,   s = max|x| / 127 of the row,   |d| <= 127
//
// The base is 254, so that a remainder of half a unit is at most 127 units of the next digit. |e| is at most 2^-23 max|x|: half a unit of
// d2 is 2^-24 max|x|, and rounding in f32 adds as much. Hence |sum_k w e| <= 2^-23 max|x| sum_k |w|. For comparison, rounding x to BF16
// adds up to 2^-8 sum_k |w| |x|. As max|x| <= sqrt(k) rms(x), the Euclidean norm of e is at most sqrt(k) 2^-23 |x|, which for 2^14 columns
// is 2^-16 |x|: 2^-8 of BF16's bound 2^-8 |x|. Where max|x| is below 2^-93, s is 2^-100 and e is at most 2^-117.

#include "cpu/kernels/row_kernels-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

inline constexpr int kActivationDigits = 3;
inline constexpr float kDigitBase = 254.0F;
/// The worth of each digit, in units of s.
inline constexpr float kDigitUnits[kActivationDigits] = {1.0F, 1.0F / kDigitBase, 1.0F / (kDigitBase * kDigitBase)};

/// 16 activations, as whole numbers.
template <int kDigits>
struct Digits {
  I32 digit[kDigits];
};

/// scale: s of the row, above 0.
template <int kDigits>
inline Digits<kDigits> digits_of(const F32& x, float scale) {
  if constexpr (kDigits == 1) {
    return {{to_i32(quantized(x, scale))}};
  } else {
    static_assert(kDigits == kActivationDigits);
    const F32 d0 = round_even(mul(x, broadcast(1.0F / scale)));
    const F32 rest0 = mul(fma(d0, broadcast(-scale), x), broadcast(kDigitBase / scale));
    const F32 d1 = round_even(rest0);
    const F32 d2 = round_even(mul(sub(rest0, d1), broadcast(kDigitBase)));
    return {{to_i32(d0), to_i32(d1), to_i32(d2)}};
  }
}

/// The scale of a row of digits; NaN if any of its values is not finite.
template <int kDigits>
inline float digit_scale(const float* x, std::int64_t n) {
  const float largest = abs_max(x, n);
  return kDigits > 1 ? unit_of(largest, 127.0F, kLeastDigitUnit) : largest / 127.0F;
}

/// Packs rows into [k_padded / vec][n_rows][kDigits][vec] int8; kNibbleOrder: in the order of an int4 tile's nibbles.
template <int kDigits, bool kNibbleOrder>
inline void pack_digits(const PackArgs& args) {
  for (int m = 0; m < args.n_rows; ++m) {
    const float* const x = args.x + m * args.x_stride;
    const float scale = digit_scale<kDigits>(x, args.k);
    args.row_scales[m] = scale;
    const bool is_zero = !(scale > 0.0F);  // or NaN
    const std::int64_t step_bytes = std::int64_t{args.n_rows} * kDigits * args.vec;
    auto* out = static_cast<std::byte*>(args.out) + std::int64_t{m} * kDigits * args.vec;
    for (std::int64_t k = 0; k < args.k_padded; k += args.vec, out += step_bytes) {
      for (std::int64_t i = 0; i < args.vec; i += 16) {
        const bool is_padding = is_zero || k + i >= args.k;
        const F32 values = is_padding ? zero() : load_some(x + k + i, args.k - k - i);
        const Digits<kDigits> digits = digits_of<kDigits>(values, is_zero ? 1.0F : scale);
#pragma GCC unroll 3
        for (int digit = 0; digit < kDigits; ++digit) {
          store_bytes<kNibbleOrder>(out + digit * args.vec + i, digits.digit[digit]);
        }
      }
    }
  }
}

/// Packs activations as int8 or as digits; other types are packed by kOthers.
template <void (*kOthers)(const PackArgs&)>
void pack_with_digits(const PackArgs& args) {
  switch (args.act) {
    case ActType::kI8:
      return pack_digits<1, false>(args);
    case ActType::kI8Nibbles:
      return pack_digits<1, true>(args);
    case ActType::kDigits:
      return pack_digits<kActivationDigits, false>(args);
    default:
      return kOthers(args);
  }
}

}  // namespace secondsource::cpu::SS_CPU_ISA
