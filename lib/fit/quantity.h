#pragma once
// Counts and bytes as doubles, in which this folder calculates: a product of several counts of a configuration may exceed
// 64-bit integers.

#include <cstdint>

namespace secondsource {

[[nodiscard]] constexpr double real(std::int64_t count) {
  return static_cast<double>(count);
}

}  // namespace secondsource
