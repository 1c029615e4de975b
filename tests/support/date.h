#pragma once
// Dates relative to today, for tests of files whose dates the program compares with the current date.

#include <ctime>
#include <string>

#include "core/clock.h"

namespace secondsource::test {

/// YYYY-MM-DD, in UTC.
inline std::string days_from_today(std::int64_t days) {
  return utc_timestamp(static_cast<std::int64_t>(std::time(nullptr)) + days * 24 * 3600).substr(0, 10);
}

}  // namespace secondsource::test
