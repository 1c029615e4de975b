#pragma once
// BF16 and FP16 as they are stored: 16 bits, converted to and from f32 with round-half-to-even, in portable code that
// is exact on every machine (subnormals, infinities and NaN included). Kernels have their own vector versions.

#include <bit>
#include <cstdint>

namespace secondsource {

/// One bfloat16 value: the upper half of an f32.
struct Bf16 {
  std::uint16_t bits = 0;
};

/// One IEEE 754 binary16 value.
struct F16 {
  std::uint16_t bits = 0;
};

[[nodiscard]] constexpr float to_float(Bf16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

[[nodiscard]] constexpr Bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  // A NaN keeps its sign and stays quiet; rounding could carry its payload into infinity.
  if ((bits & 0x7fffffffU) > 0x7f800000U) return Bf16{static_cast<std::uint16_t>((bits >> 16) | 0x40U)};
  const std::uint32_t rounding = 0x7fffU + ((bits >> 16) & 1U);
  return Bf16{static_cast<std::uint16_t>((bits + rounding) >> 16)};
}

[[nodiscard]] constexpr float to_float(F16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000U) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 0x1fU;
  const std::uint32_t mantissa = value.bits & 0x3ffU;
  if (exponent == 0x1fU) return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (mantissa << 13));
}

[[nodiscard]] constexpr F16 to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return F16{static_cast<std::uint16_t>(sign | 0x7e00U)};
  if (magnitude >= 0x477ff000U) return F16{static_cast<std::uint16_t>(sign | 0x7c00U)};  // 65520 and up rounds to inf
  if (magnitude < 0x38800000U) {  // below 2^-14: subnormal; the float adder rounds to a multiple of 2^-24 for us
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return F16{static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000U))};
  }
  const std::uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
  return F16{static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13))};
}

/// The nearest BF16 value, as f32: what a kernel with BF16 inputs sees.
[[nodiscard]] constexpr float round_to_bf16(float value) {
  return to_float(to_bf16(value));
}

/// The nearest FP16 value, as f32.
[[nodiscard]] constexpr float round_to_f16(float value) {
  return to_float(to_f16(value));
}

}  // namespace secondsource
