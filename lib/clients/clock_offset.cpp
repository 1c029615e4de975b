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

/// The length of the interval in which the bounds must hold.
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
  // Times in a stored run may be any 64-bit number; differences of larger ones could overflow.
  constexpr std::int64_t kMost = INT64_MAX / 8;
  const auto is_time = [](std::int64_t ns) { return ns > -kMost && ns < kMost; };
  for (const Repetition* one : {&first, &other}) {
    const bool all_are = is_time(one->window_start_ns) && is_time(one->window_end_ns) &&
                         std::ranges::all_of(turns_of(*one), [&](const DateTurn& turn) {
                           return is_time(turn.after_ns) && is_time(turn.until_ns);
                         });
    if (!all_are)
      return Error{ErrorCode::kInvalidInput, "the turns of the server's Date have times that no clock shows"};
  }
  std::map<std::int64_t, const DateTurn*> turn_of;
  for (const DateTurn& turn : turns_of(first)) turn_of[turn.unix_s] = &turn;
  // No moment of a repetition is farther than this from a change of the Date.
  const double longest_ns = std::max(span_ns(first), span_ns(other));
  const auto drift_ns = static_cast<std::int64_t>(std::ceil(kClockDrift * longest_ns));
  std::int64_t low = 0;
  std::int64_t high = 0;
  std::int32_t n_turns = 0;
  for (const DateTurn& turn : turns_of(other)) {
    const auto same = turn_of.find(turn.unix_s);
    if (same == turn_of.end()) continue;
    const std::int64_t at_least = same->second->after_ns - turn.until_ns - drift_ns;
    const std::int64_t at_most = same->second->until_ns - turn.after_ns + drift_ns;
    low = n_turns == 0 ? at_least : std::max(low, at_least);
    high = n_turns == 0 ? at_most : std::min(high, at_most);
    ++n_turns;
  }
  if (n_turns == 0) return std::optional<OffsetBounds>();
  if (low > high) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("the turns of the server's Date that both saw contradict each other by {:.3g} ms: a clock was set "
                    "meanwhile, or they were not served by one server",
                    1e-6 * static_cast<double>(low - high))};
  }
  return std::optional(OffsetBounds{low, high, n_turns});
}

}  // namespace secondsource
