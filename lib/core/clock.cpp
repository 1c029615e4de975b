#include "core/clock.h"

#include <ctime>

namespace secondsource {

std::int64_t thread_cpu_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);  // fails for no clock that Linux has
  return std::int64_t{1'000'000'000} * time.tv_sec + time.tv_nsec;
}

std::string utc_timestamp() {
  return utc_timestamp(static_cast<std::int64_t>(std::time(nullptr)));
}

std::string utc_timestamp(std::int64_t unix_s) {
  const auto seconds = static_cast<std::time_t>(unix_s);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[sizeof "2026-11-20T07:43:00Z"];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace secondsource
