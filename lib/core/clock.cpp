#include "core/clock.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

namespace secondsource {
namespace {

constexpr std::int64_t kLastSecond = 253'402'300'799;  // 9999-12-31T23:59:59Z

}  // namespace

std::int64_t thread_cpu_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);  // fails for no clock that Linux has
  return std::int64_t{1'000'000'000} * time.tv_sec + time.tv_nsec;
}

std::string utc_timestamp() {
  return utc_timestamp(static_cast<std::int64_t>(std::time(nullptr)));
}

std::string utc_timestamp(std::int64_t unix_s) {
  const auto seconds = static_cast<std::time_t>(std::clamp<std::int64_t>(unix_s, 0, kLastSecond));
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[sizeof "2026-11-20T07:43:00Z"];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Result<void> check_calendar_clock() {
  return check_calendar_clock(static_cast<std::int64_t>(std::time(nullptr)));
}

Result<void> check_calendar_clock(std::int64_t unix_s) {
  if (unix_s >= 0 && unix_s <= kLastSecond) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("the clock of this machine: expected a time from 1970 to 9999, found {} s {} 1970: set it",
                           std::abs(unix_s), unix_s < 0 ? "before" : "after")};
}

}  // namespace secondsource
