#pragma once
// What the times in a server's responses prove about its clock. They come from the Date headers or, if it sends none
// (llama-server), from `created` in its answers. Both are whole seconds, but hundreds of them show, to within about a
// round trip, when a second changed: every request that was answered with the earlier second was sent before the
// change, and every response with the later second arrived after it. This holds whether or not the server's clock is
// right, whether the server writes a fresh Date into each response or one that it refreshes now and then, and whenever
// between request and response it read its clock. The changes are therefore events that several clients of one server
// saw, and relate the clients' clocks to each other (clients/clock_offset.h).

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "record/server_clock.h"

namespace secondsource {

/// Seconds since 1970 of the value of a Date header, "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate, RFC 9110 section 5.6.7);
/// nullopt for any other text, also for the two obsolete forms, for a day of the week that is not the date's, and for years
/// before 1970.
[[nodiscard]] std::optional<std::int64_t> parse_http_date(std::string_view text);

/// True if the value of an Age header ("0") shows that the response was made for this request and did not come from a
/// cache.
[[nodiscard]] bool is_fresh_age(std::string_view text);

class ServerTimes {
 public:
  /// Adds a response with the time `unix_s`, whose request was sent at `sent_ns` and whose time was read at `read_ns`,
  /// both on the monotonic clock. A response whose times are impossible is ignored.
  void add(std::int64_t sent_ns, std::int64_t read_ns, std::int64_t unix_s);

  /// True if no response was seen since the last take().
  [[nodiscard]] bool is_empty() const { return n_responses_ == 0; }

  /// What was seen since the last call, with times counted from `origin_ns`. `wall_ns` is this machine's wall clock
  /// (since 1970) at the monotonic time 0; the bounds of ServerClock are relative to it and hold at every moment
  /// between the first and the last response. nullopt if there was no response.
  [[nodiscard]] std::optional<ServerClock> take(std::int64_t origin_ns, std::int64_t wall_ns);

 private:
  struct Second {
    std::int64_t first_read_ns = 0;
    std::int64_t last_sent_ns = 0;
  };
  std::map<std::int64_t, Second> seconds_;  ///< by time; at most kMostSeconds, the first ones
  std::int64_t n_responses_ = 0;
  std::int64_t first_sent_ns_ = 0;
  std::int64_t last_read_ns_ = 0;
};

/// This machine's wall clock, in nanoseconds since 1970, at the time 0 of its monotonic clock.
[[nodiscard]] std::int64_t wall_clock_origin_ns();

}  // namespace secondsource
