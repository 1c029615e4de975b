#pragma once
// Random numbers of any magnitude, with no more significant bits than BF16 and FP16 have.

#include <cmath>
#include <cstdint>

#include "core/random.h"

namespace secondsource::vulkan::test {

/// A number with eight significant bits, which fit BF16 and FP16. Its magnitude is between 2^-7 and 2 times 2^exponent.
inline float number(std::uint64_t seed, std::int32_t row, std::int32_t col, int exponent) {
  const std::uint64_t bits = random_bits(seed + static_cast<std::uint64_t>(row), static_cast<std::uint64_t>(col));
  const auto mantissa = static_cast<float>(128 + bits % 128) / 128.0F;
  const float signed_one = (bits >> 8 & 1) != 0 ? -mantissa : mantissa;
  return std::ldexp(signed_one, exponent - static_cast<int>(bits >> 16 & 7));
}

}  // namespace secondsource::vulkan::test
