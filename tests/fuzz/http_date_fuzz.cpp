// Fuzzes the readers of Date and Age headers, and the estimate of the server's clock from Dates in any order.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "serving/server_times.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto seconds = parse_http_date(text);
  // From 1970 to the end of the year 9999.
  if (seconds && (*seconds < 0 || *seconds > 253'402'300'799 || text.size() != 29)) std::abort();
  (void)is_fresh_age(text);
  ServerTimes dates;
  std::int64_t n_added = 0;
  for (std::size_t at = 0; at + 3 <= size; at += 3, ++n_added) {
    const std::int64_t sent_ns = 1'000'000 * static_cast<std::int64_t>(data[at]);
    dates.add(sent_ns, sent_ns + 1'000'000 * static_cast<std::int64_t>(data[at + 1]), data[at + 2] % 8);
  }
  if (seconds) dates.add(0, 1, *seconds);
  const auto clock = dates.take(0, 0);
  if (!clock) return 0;
  if (clock->ahead_low_ns.has_value() != clock->why_not.empty()) std::abort();
  if (clock->ahead_low_ns && *clock->ahead_low_ns > *clock->ahead_high_ns) std::abort();
  for (const DateTurn& turn : clock->turns) {
    if (turn.after_ns > turn.until_ns) std::abort();
  }
  return 0;
}
