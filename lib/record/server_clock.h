#pragma once
// What the times in a server's responses show about its clock, and how they relate the clocks of several clients of one
// server (docs/scenarios.md).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"

namespace secondsource {

/// The part of a response that contains the time, in whole seconds.
enum class ServerTime : std::uint8_t {
  kDate,     ///< its Date header
  kCreated,  ///< `created` of the first event of its stream, where it has no Date
};
SS_ENUM_NAMES(ServerTime, "date", "created")

/// The moment at which the server's time became `unix_s` or later, between two times of a client's clock.
struct DateTurn {
  std::int64_t unix_s = 0;    ///< seconds since 1970
  std::int64_t after_ns = 0;  ///< a request that was sent then was still answered with an earlier time
  std::int64_t until_ns = 0;  ///< a response that came then had this time or a later one
  friend bool operator==(const DateTurn&, const DateTurn&) = default;
};
SS_FIELDS(DateTurn, unix_s, after_ns, until_ns)

/// The times of one repetition, from its first warm-up request to its end.
struct ServerClock {
  ServerTime source = ServerTime::kDate;
  std::int64_t n_responses = 0;  ///< whose time counts: those with an Age above 0 came from a cache
  /// Bounds on how far the server's wall clock is ahead of this machine's, assuming that each time was right at some
  /// moment between the request and the response. Both are empty if not all times can have been right.
  std::optional<std::int64_t> ahead_low_ns{};
  std::optional<std::int64_t> ahead_high_ns{};
  std::string why_not{};            ///< why there are no bounds; empty if there are
  std::int64_t n_contradicted = 0;  ///< turns that cannot have happened: an earlier time came after a later one
  std::vector<DateTurn>
      turns{};  ///< ascending, with times as those of the repetition's samples; none for single-stream
  friend bool operator==(const ServerClock&, const ServerClock&) = default;
};
SS_FIELDS(ServerClock, source, n_responses, ahead_low_ns, ahead_high_ns, why_not, n_contradicted, turns)

/// The largest relative drift between two clocks that is assumed. Quartz is specified to 20 to 50 millionths; a clock
/// that is being adjusted faster gives contradictory times, which are recorded.
inline constexpr double kClockDrift = 1e-4;

}  // namespace secondsource
