#pragma once
// What the times in a server's responses prove of its clock: their Date headers, or where it sends none (llama-server) `created` of
// the answers. Both have whole seconds, but hundreds of them show when a second turned, to about a round trip: every request that
// was still answered with the earlier second was sent before the turn, and every response with the later one came behind it. That
// holds whether the server's clock is right or not, whether it writes a fresh Date into each response or one that it refreshes
// now and then, and at whatever moment between request and response it looked at its clock; so the turns are events that several
// clients of one server saw, by which their clocks can be related (clients/clock_offset.h).

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

/// True if the value of an Age header says that the response was made for this request and did not wait in a cache: "0".
[[nodiscard]] bool is_fresh_age(std::string_view text);

class ServerTimes {
 public:
  /// A response with the time `unix_s`, whose request was begun at `sent_ns` and whose time was read at `read_ns`, both on the
  /// monotonic clock. Times that are out of order are ignored.
  void add(std::int64_t sent_ns, std::int64_t read_ns, std::int64_t unix_s);

  /// True if no response was seen since the last take().
  [[nodiscard]] bool is_empty() const { return n_responses_ == 0; }

  /// What was seen since the last call, with times counted from `origin_ns`; `wall_ns` is this machine's wall clock (since 1970)
  /// at the monotonic time 0, by which the bounds of ServerClock are told. They hold at every moment between the first and the
  /// last response. nullopt if there was none.
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
