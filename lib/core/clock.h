#pragma once
// The one clock of this project: monotonic, integer nanoseconds.

#include <chrono>
#include <cstdint>
#include <string>

namespace secondsource {

/// Nanoseconds on the monotonic clock; only differences mean anything.
[[nodiscard]] inline std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// The calendar time in UTC, "2026-11-20T07:43:00Z": for records, never for durations.
[[nodiscard]] std::string utc_timestamp();
/// The same of a time given in seconds since 1970.
[[nodiscard]] std::string utc_timestamp(std::int64_t unix_s);

}  // namespace secondsource
