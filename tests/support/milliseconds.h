#pragma once
// A millisecond in the unit of the program's clocks.

#include <cstdint>

namespace secondsource::test {

inline constexpr std::int64_t kMs = 1'000'000;  // nanoseconds

}  // namespace secondsource::test
