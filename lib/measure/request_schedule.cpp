#include "measure/request_schedule.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/random.h"

namespace secondsource {
namespace {

// Keeps the random draws for think times separate from those for arrivals and prompts, which use the same seed.
constexpr std::uint64_t kThinkStream = 0x7468696e6bULL;

}  // namespace

RequestSchedule::RequestSchedule(std::size_t n_requests, const LoadPacing& pacing, std::int64_t start_ns)
    : pacing_(pacing), turns_(static_cast<std::size_t>(pacing.turns)), start_ns_(start_ns) {
  SS_CHECK(pacing.turns >= 1 && n_requests % turns_ == 0, "a load has whole conversations");
  n_conversations_ = n_requests / turns_;
  SS_CHECK(!is_open_loop() || pacing.arrival_offsets_ns.size() == n_conversations_,
           "an open loop has one arrival a request or a conversation");
  SS_CHECK(pacing.think_ns.empty() || pacing.think_ns.size() == n_requests, "a think time before each request");
}

std::int64_t RequestSchedule::next_arrival_ns() const {
  return is_open_loop() && any_left_to_begin() ? start_ns_ + pacing_.arrival_offsets_ns[n_begun_] : INT64_MAX;
}

std::int64_t RequestSchedule::next_due_ns() const {
  const std::int64_t next_turn_ns = later_turns_.empty() ? INT64_MAX : later_turns_.top().first;
  return std::min(next_turn_ns, next_arrival_ns());
}

std::optional<DueRequest> RequestSchedule::take_due(std::int64_t now_ns) {
  if (next_due_ns() <= now_ns) {
    if (!later_turns_.empty() && later_turns_.top().first <= next_arrival_ns()) {
      const auto [due_ns, index] = later_turns_.top();
      later_turns_.pop();
      return DueRequest{index, due_ns};
    }
    const std::int64_t due_ns = next_arrival_ns();
    ++n_open_;
    return DueRequest{n_begun_++ * turns_, due_ns};
  }
  const bool has_place = n_open_ < static_cast<std::size_t>(pacing_.in_flight);
  if (is_open_loop() || !has_place || !any_left_to_begin()) return std::nullopt;
  ++n_open_;
  return DueRequest{n_begun_++ * turns_, now_ns};
}

bool RequestSchedule::on_end(std::size_t index, std::int64_t answered_ns) {
  const bool is_last_turn = turns_ == 1 || (index + 1) % turns_ == 0;
  if (!is_last_turn) {
    later_turns_.emplace(answered_ns + (pacing_.think_ns.empty() ? 0 : pacing_.think_ns[index + 1]), index + 1);
    return false;
  }
  --n_open_;
  return true;
}

std::vector<std::int64_t> think_times_ns(const Scenario& scenario, std::uint64_t seed) {
  const std::uint64_t stream = random_bits(seed, kThinkStream);
  std::vector<std::int64_t> times(static_cast<std::size_t>(scenario.n_requests), 0);
  for (std::size_t index = 0; index < times.size(); ++index) {
    if (index % static_cast<std::size_t>(scenario.turns) == 0) continue;
    const bool is_drawn = scenario.think == ThinkKind::kExponential;
    const double relative = is_drawn ? -std::log1p(-random_unit(stream, index)) : 1;
    times[index] = std::llround(1e9 * scenario.think_s * relative);
  }
  return times;
}

}  // namespace secondsource
