#pragma once
// Units of bytes, and numbers formatted for people. Sizes are in GiB (2^30) and rates in GB/s (10^9); the text states the unit.

#include <cstdint>
#include <string>

namespace secondsource {

/// Bytes of a binary unit.
inline constexpr double kMebibyte = 0x1p20;
inline constexpr double kGibibyte = 0x1p30;

/// "512 B", "1.5 KiB", "5.2 MiB", "3.0 GiB"
[[nodiscard]] std::string format_bytes(std::int64_t bytes);

/// "850 ns", "12.3 us", "4.56 ms", "1.23 s", "2 min 05 s", "1 h 02 min"
[[nodiscard]] std::string format_duration_ns(std::int64_t duration_ns);

}  // namespace secondsource
