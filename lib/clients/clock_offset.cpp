#include "clients/clock_offset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace secondsource {
namespace {

const std::vector<DateTurn>& turns_of(const Repetition& repetition) {
  static const std::vector<DateTurn> kNone;
  return repetition.server_clock ? repetition.server_clock->turns : kNone;
}

/// From the first to the last moment of which the bounds are to hold.
double span_ns(const Repetition& repetition) {
  auto begin = static_cast<double>(repetition.window_start_ns);
  auto end = static_cast<double>(repetition.window_end_ns);
  for (const DateTurn& turn : turns_of(repetition)) {
    begin = std::min(begin, static_cast<double>(turn.after_ns));
    end = std::max(end, static_cast<double>(turn.until_ns));
  }
  return end - begin;
}

}  // namespace

Result<std::optional<OffsetBounds>> clock_offset(const Repetition& first, const Repetition& other) {
  // Times of a stored run may be any 64 bits; their differences are taken where they cannot overflow.
  using Wide = __int128;
  std::map<std::int64_t, const DateTurn*> turn_of;
  for (const DateTurn& turn : turns_of(first)) turn_of[turn.unix_s] = &turn;
  // No moment of a repetition is farther from a turn than this.
  const double longest_ns = std::max(span_ns(first), span_ns(other));
  const auto drift_ns = static_cast<Wide>(std::ceil(kClockDrift * longest_ns));
  Wide low = 0;
  Wide high = 0;
  std::int32_t n_turns = 0;
  for (const DateTurn& turn : turns_of(other)) {
    const auto same = turn_of.find(turn.unix_s);
    if (same == turn_of.end()) continue;
    const Wide at_least = static_cast<Wide>(same->second->after_ns) - turn.until_ns - drift_ns;
    const Wide at_most = static_cast<Wide>(same->second->until_ns) - turn.after_ns + drift_ns;
    low = n_turns == 0 ? at_least : std::max(low, at_least);
    high = n_turns == 0 ? at_most : std::min(high, at_most);
    ++n_turns;
  }
  if (n_turns == 0) return std::optional<OffsetBounds>();
  if (low > high) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("the turns of the server's Date that both saw contradict each other by {:.3g} ms: a clock was set "
                             "meanwhile, or they were not served by one server",
                             1e-6 * static_cast<double>(low - high))};
  }
  constexpr Wide kMost = INT64_MAX / 4;
  if (low < -kMost || high > kMost) {
    return Error{ErrorCode::kInvalidInput, "the turns of the server's Date have times that no clock shows"};
  }
  return std::optional(OffsetBounds{static_cast<std::int64_t>(low), static_cast<std::int64_t>(high), n_turns});
}

}  // namespace secondsource
