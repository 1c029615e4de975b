#pragma once
// Random numbers of any magnitude, which BF16 and FP16 hold exactly.

#include <cmath>
#include <cstdint>

#include "core/random.h"

namespace secondsource::vulkan::test {

/// A number of eight significant bits, which BF16 and FP16 have, within 2^-7 to 2 times 2^exponent.
inline float number(std::uint64_t seed, std::int32_t row, std::int32_t col, int exponent) {
  const std::uint64_t bits = random_bits(seed + static_cast<std::uint64_t>(row), static_cast<std::uint64_t>(col));
  const auto mantissa = static_cast<float>(128 + bits % 128) / 128.0F;
  const float signed_one = (bits >> 8 & 1) != 0 ? -mantissa : mantissa;
  return std::ldexp(signed_one, exponent - static_cast<int>(bits >> 16 & 7));
}

}  // namespace secondsource::vulkan::test
