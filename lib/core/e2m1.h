#pragma once
// The numbers of MXFP4 as stored (OCP Microscaling Formats specification, revision 1.0); NVIDIA's NVFP4 has the same
// codes. E2M1 has a sign, two bits of exponent with bias 1 and one bit of mantissa, no infinities and no NaN. E8M0 is a
// power of two, stored as its exponent with bias 127, and has one NaN.
// Every E2M1 number is exact in FP16, BF16 and f32, and its double is an integer. Every E8M0 number is exact in f32,
// the smallest one as a subnormal.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace secondsource {

/// In the low four bits; the others are 0.
struct E2m1 {
  std::uint8_t bits = 0;
};

/// The largest E2M1 number.
inline constexpr float kE2m1Max = 6.0F;

/// Exact.
[[nodiscard]] constexpr float to_float(E2m1 value) {
  constexpr std::array<float, 16> kNumbers = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                              -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};
  return kNumbers[value.bits & 0xfU];
}

/// The nearest E2M1 number as f32, half to even; magnitudes above 6 and infinities become 6, and NaN stays NaN.
[[nodiscard]] constexpr float round_to_e2m1(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return value;
  const float capped = std::min(std::bit_cast<float>(magnitude), kE2m1Max);
  // Adding 1.5 * 2^22 times the power of two at or below the value leaves room in an f32 for one bit after the leading
  // one, so the addition rounds; below 1 the last place stays 0.5.
  const float room = (capped < 2.0F ? 1.0F : capped < 4.0F ? 2.0F : 4.0F) * 0x1.8p22F;
  return std::bit_cast<float>((bits & 0x80000000U) | std::bit_cast<std::uint32_t>((capped + room) - room));
}

struct E8m0 {
  std::uint8_t bits = 0;  ///< the exponent plus 127
};

/// True for the one code that is not a number.
[[nodiscard]] constexpr bool is_nan(E8m0 value) {
  return value.bits == 0xffU;
}

/// Exact; NaN for the code 0xff.
[[nodiscard]] constexpr float to_float(E8m0 value) {
  if (is_nan(value)) return std::bit_cast<float>(0x7fc00000U);
  const std::uint32_t bits = value.bits == 0 ? 0x00400000U : static_cast<std::uint32_t>(value.bits) << 23;
  return std::bit_cast<float>(bits);
}

/// The smallest normal power of two that is not below `value`; 0, infinity and NaN are unchanged. `value`: at least 0,
/// at most 2^127.
[[nodiscard]] constexpr float round_up_to_power_of_two(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if (bits >= 0x7f800000U) return value;
  // The addition carries into the exponent unless all bits of the fraction are 0.
  return std::bit_cast<float>((bits + 0x007fffffU) & 0x7f800000U);
}

/// The code of a power of two from 2^-127 to 2^127: its exponent. Of any other number, that of the power of two at or below its
/// magnitude, but at least 2^-127; infinities and NaN become the NaN.
[[nodiscard]] constexpr E8m0 to_e8m0(float value) {
  return E8m0{static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(value) >> 23 & 0xffU)};
}

}  // namespace secondsource
