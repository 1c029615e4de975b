#pragma once
// BF16 and FP16 as stored: 16 bits, converted to and from f32 with round-half-to-even. The portable code gives exact
// results on every machine, including subnormals, infinities and NaN, and has no branches, so that compilers vectorize
// loops over it. Kernels have their own vector versions.

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
  const std::uint32_t magnitude = value.bits & 0x7fffU;
  const auto subnormal =
      std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24F);
  const std::uint32_t normal = (magnitude << 13) + 0x38000000U;
  const std::uint32_t finite = magnitude < 0x400U ? subnormal : normal;
  return std::bit_cast<float>(sign | (magnitude >= 0x7c00U ? (magnitude << 13) | 0x7f800000U : finite));
}

[[nodiscard]] constexpr F16 to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  // Below 2^-14 the result is subnormal: adding 0.5 makes the float adder round to a multiple of 2^-24.
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3f000000U;
  const std::uint32_t normal = (magnitude + 0xfffU + ((magnitude >> 13) & 1U) - 0x38000000U) >> 13;
  const std::uint32_t finite = magnitude < 0x38800000U ? subnormal : normal;
  const std::uint32_t number = magnitude >= 0x477ff000U ? 0x7c00U : finite;  // 65520 and above round to infinity
  const std::uint32_t rounded = magnitude > 0x7f800000U ? 0x7e00U : number;
  return F16{static_cast<std::uint16_t>((bits >> 16 & 0x8000U) | rounded)};
}

/// The nearest BF16 value, as f32: the value that a kernel with BF16 inputs reads.
[[nodiscard]] constexpr float round_to_bf16(float value) {
  return to_float(to_bf16(value));
}

/// The nearest FP16 value, as f32. Equal to to_float(to_f16(value)), but computed without the 16-bit form.
[[nodiscard]] constexpr float round_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  const auto subnormal = std::bit_cast<std::uint32_t>((std::bit_cast<float>(magnitude) + 0.5F) - 0.5F);
  const std::uint32_t normal = (magnitude + 0xfffU + ((magnitude >> 13) & 1U)) & ~0x1fffU;
  const std::uint32_t finite = magnitude < 0x38800000U ? subnormal : normal;
  const std::uint32_t number = magnitude >= 0x477ff000U ? 0x7f800000U : finite;
  const std::uint32_t rounded = magnitude > 0x7f800000U ? 0x7fc00000U : number;
  return std::bit_cast<float>((bits & 0x80000000U) | rounded);
}

}  // namespace secondsource
