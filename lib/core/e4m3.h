#pragma once
// E4M3 as stored: the 8-bit floating-point numbers of the OCP 8-bit Floating Point Specification (revision 1.0), which PyTorch
// calls float8_e4m3fn: a sign, four bits of exponent with bias 7, three of mantissa, no infinities, one NaN of each sign.
// Magnitudes go from 2^-9 (subnormal below 2^-6) to 448. Every one of them is exact in FP16, BF16 and f32. Kernels have their
// own vector versions.

#include <algorithm>
#include <bit>
#include <cstdint>

namespace secondsource {

struct E4m3 {
  std::uint8_t bits = 0;
};

/// The largest E4M3 number.
inline constexpr float kE4m3Max = 448.0F;

/// True for the two codes that are not numbers.
[[nodiscard]] constexpr bool is_nan(E4m3 value) {
  return (value.bits & 0x7fU) == 0x7fU;
}

/// Exact; NaN for the codes 0x7f and 0xff.
[[nodiscard]] constexpr float to_float(E4m3 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x80U) << 24;
  // With the exponent and mantissa bits moved to their places in an f32, the number's exponent is 120 too small; this
  // also holds for subnormals.
  const std::uint32_t small = static_cast<std::uint32_t>(value.bits & 0x7fU) << 20;
  const auto number = std::bit_cast<std::uint32_t>(std::bit_cast<float>(small) * 0x1p120F);
  return std::bit_cast<float>(sign | (is_nan(value) ? 0x7fc00000U : number));
}

/// The nearest E4M3 number as f32, half to even; magnitudes above 448 and infinities become 448, and NaN stays NaN. Without
/// branches, so that compilers vectorize loops over it.
[[nodiscard]] constexpr float round_to_e4m3(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  // Adding 1.5 * 2^20 times the power of two at or below the value leaves room in an f32 for three bits after the
  // leading one, so the addition rounds; below 2^-6 the last place stays 2^-9.
  const std::uint32_t power = std::max(magnitude & 0x7f800000U, 0x3c800000U);
  const float room = std::bit_cast<float>(std::min(power, 0x43800000U)) * 0x1.8p20F;
  const float capped = std::bit_cast<float>(std::min(magnitude, std::bit_cast<std::uint32_t>(kE4m3Max)));
  const auto rounded = std::bit_cast<std::uint32_t>((capped + room) - room);
  return std::bit_cast<float>((bits & 0x80000000U) | (magnitude > 0x7f800000U ? 0x7fc00000U : rounded));
}

/// The nearest E4M3 number, as round_to_e4m3(); NaN becomes the code 0x7f with the sign of the NaN.
[[nodiscard]] constexpr E4m3 to_e4m3(float value) {
  const auto rounded = std::bit_cast<std::uint32_t>(round_to_e4m3(value));
  const std::uint32_t magnitude = rounded & 0x7fffffffU;
  // Scaling by 2^-120 puts the exponent and the mantissa of an E4M3 number at the right places of an f32; this also
  // holds for subnormals.
  const std::uint32_t code = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1p-120F) >> 20;
  const std::uint32_t sign = rounded >> 24 & 0x80U;
  return E4m3{static_cast<std::uint8_t>(sign | (magnitude > 0x7f800000U ? 0x7fU : code))};
}

}  // namespace secondsource
