#pragma once
// The only clocks of this project: monotonic time and CPU time, in integer nanoseconds.

#include <chrono>
#include <cstdint>
#include <string>

#include "core/result.h"

namespace secondsource {

/// Nanoseconds on the monotonic clock; only differences between two readings have a meaning.
[[nodiscard]] inline std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// CPU time that the calling thread has used, in nanoseconds; only differences between two readings have a meaning.
[[nodiscard]] std::int64_t thread_cpu_ns();

/// The calendar time in UTC, "2026-11-20T07:43:00Z". Use it in records, never to measure durations. A time outside of the
/// years 1970 to 9999 becomes the nearest second of them.
[[nodiscard]] std::string utc_timestamp();
/// Formats a time given in seconds since 1970 in the same way.
[[nodiscard]] std::string utc_timestamp(std::int64_t unix_s);

/// Errors: kInvalidInput when the machine's calendar clock shows a time that utc_timestamp() has no text for.
Result<void> check_calendar_clock();
/// The same for a time given in seconds since 1970.
Result<void> check_calendar_clock(std::int64_t unix_s);

}  // namespace secondsource
