#include "serving/server_times.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "core/calendar.h"
#include "core/clock.h"

namespace secondsource {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
// The limit for one repetition, so that a server that keeps sending different times does not fill the memory.
constexpr std::size_t kMostSeconds = 4000;
// Later times, after the year 2115, would come near the limit of 64 bits in nanoseconds.
constexpr std::int64_t kLastSecond = std::numeric_limits<std::int64_t>::max() / (2 * kNsPerSecond);

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
// Starting with the weekday of 1970-01-01.
constexpr std::array<std::string_view, 7> kDays = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};

}  // namespace

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  constexpr std::string_view kForm = "Sun, 06 Nov 1994 08:49:37 GMT";
  if (text.size() != kForm.size() || text.substr(3, 2) != ", " || text[7] != ' ' || text[11] != ' ' ||
      text[16] != ' ' || text.substr(25) != " GMT") {
    return std::nullopt;
  }
  const auto month = std::ranges::find(kMonths, text.substr(8, 3));
  if (month == kMonths.end()) return std::nullopt;
  const std::string day =
      fmt::format("{}-{:02}-{}", text.substr(12, 4), month - kMonths.begin() + 1, text.substr(5, 2));
  const auto days = days_since_1970(day);
  if (!days || *days < 0 || kDays[static_cast<std::size_t>(*days % 7)] != text.substr(0, 3)) return std::nullopt;
  return seconds_since_1970(fmt::format("{}T{}Z", day, text.substr(17, 8)));
}

bool is_fresh_age(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c == '0'; });
}

void ServerTimes::add(std::int64_t sent_ns, std::int64_t read_ns, std::int64_t unix_s) {
  if (read_ns < sent_ns || unix_s < 0 || unix_s >= kLastSecond) return;
  const auto known = seconds_.find(unix_s);
  if (known == seconds_.end() && seconds_.size() >= kMostSeconds) return;
  Second& second = known != seconds_.end() ? known->second : seconds_[unix_s] = {read_ns, sent_ns};
  second.first_read_ns = std::min(second.first_read_ns, read_ns);
  second.last_sent_ns = std::max(second.last_sent_ns, sent_ns);
  first_sent_ns_ = n_responses_ == 0 ? sent_ns : std::min(first_sent_ns_, sent_ns);
  last_read_ns_ = n_responses_ == 0 ? read_ns : std::max(last_read_ns_, read_ns);
  ++n_responses_;
}

std::optional<ServerClock> ServerTimes::take(std::int64_t origin_ns, std::int64_t wall_ns) {
  const ServerTimes seen = std::exchange(*this, ServerTimes());
  if (seen.n_responses_ == 0) return std::nullopt;
  ServerClock clock;
  clock.n_responses = seen.n_responses_;
  // For each second, the earliest reading of it or a later second; computed backwards.
  std::map<std::int64_t, std::int64_t> until_of;
  std::int64_t until_ns = INT64_MAX;
  for (auto second = seen.seconds_.rbegin(); second != seen.seconds_.rend(); ++second) {
    until_ns = std::min(until_ns, second->second.first_read_ns);
    until_of[second->first] = until_ns;
  }
  std::int64_t low_ns = INT64_MIN;
  std::int64_t high_ns = INT64_MAX;
  std::int64_t after_ns = INT64_MIN;
  for (const auto& [unix_s, second] : seen.seconds_) {
    const std::int64_t since_1970_ns = unix_s * kNsPerSecond - wall_ns;
    low_ns = std::max(low_ns, since_1970_ns - second.first_read_ns);
    high_ns = std::min(high_ns, since_1970_ns + kNsPerSecond - second.last_sent_ns);
    if (after_ns != INT64_MIN) {
      const DateTurn turn{unix_s, after_ns - origin_ns, until_of[unix_s] - origin_ns};
      const bool is_possible = turn.after_ns <= turn.until_ns;
      clock.n_contradicted += is_possible ? 0 : 1;
      if (is_possible) clock.turns.push_back(turn);
    }
    after_ns = std::max(after_ns, second.last_sent_ns);
  }
  const auto drift_ns = std::llround(kClockDrift * static_cast<double>(seen.last_read_ns_ - seen.first_sent_ns_));
  low_ns -= drift_ns;
  high_ns += drift_ns;
  if (low_ns <= high_ns) {
    clock.ahead_low_ns = low_ns;
    clock.ahead_high_ns = high_ns;
    return clock;
  }
  clock.why_not = fmt::format(
      "its times contradict each other by {:.3g} ms: a clock that was set, a time that is not written anew for each "
      "response, or several servers behind one name",
      1e-6 * static_cast<double>(low_ns - high_ns));
  return clock;
}

std::int64_t wall_clock_origin_ns() {
  using std::chrono::duration_cast;
  const std::int64_t before_ns = now_ns();
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t after_ns = now_ns();
  return duration_cast<std::chrono::nanoseconds>(wall).count() - (before_ns + (after_ns - before_ns) / 2);
}

}  // namespace secondsource
