#pragma once
// Counts and bytes in the arithmetic of this room, which is in doubles: a model of tomorrow has more bytes than a count that
// was multiplied a few times too often could hold.

#include <cstdint>

namespace secondsource {

inline constexpr double kGibibyte = 1024.0 * 1024.0 * 1024.0;

[[nodiscard]] constexpr double real(std::int64_t count) {
  return static_cast<double>(count);
}

}  // namespace secondsource
