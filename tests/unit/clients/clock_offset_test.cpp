// Tests estimated clock offsets against the true difference of the clocks, which the test chooses.

#include "clients/clock_offset.h"

#include "core/random.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

constexpr std::int64_t kOffsetMs = 1'000'000;

Repetition with_turns(std::vector<DateTurn> turns, std::int64_t window_end_ns = 0) {
  Repetition repetition;
  repetition.window_end_ns = window_end_ns;
  repetition.server_clock = ServerClock{.turns = std::move(turns)};
  return repetition;
}

}  // namespace

TEST_CASE("one turn that both saw bounds the offset by both of its intervals") {
  const Repetition first = with_turns({{100, 500, 700}});
  const Repetition other = with_turns({{100, 10, 40}});
  const auto bounds = clock_offset(first, other);
  REQUIRE_OK(bounds);
  REQUIRE(*bounds);
  // The first client saw the server's second change at 500 to 700 ns, the other one at 10 to 40 ns: the offset is 460 to 690 ns.
  // The longer repetition lasts 700 ns, during which clocks drift apart by less than 1 ns.
  CHECK((*bounds)->low_ns == 500 - 40 - 1);
  CHECK((*bounds)->high_ns == 700 - 10 + 1);
  CHECK((*bounds)->n_turns == 1);
  CHECK((*bounds)->middle_ns() == 575);
  CHECK((*bounds)->half_ns() == 116);
}

TEST_CASE("each further turn bounds it closer, and the drift of the window widens it") {
  const Repetition first =
      with_turns({{100, 0, 20 * kOffsetMs}, {101, 1000 * kOffsetMs, 1010 * kOffsetMs}}, 2000 * kOffsetMs);
  const Repetition other =
      with_turns({{100, 5 * kOffsetMs, 15 * kOffsetMs}, {101, 1000 * kOffsetMs, 1004 * kOffsetMs}, {102, 0, 1}});
  const auto bounds = clock_offset(first, other);
  REQUIRE_OK(bounds);
  REQUIRE(*bounds);
  // The first change of the second gives -15 to 15 ms, the other one -4 to 10 ms; one seen by only one client gives nothing.
  // Drift over 2 s adds 0.2 ms on both sides.
  CHECK((*bounds)->low_ns == -4'200'000);
  CHECK((*bounds)->high_ns == 10'200'000);
  CHECK((*bounds)->n_turns == 2);
}

TEST_CASE("no turn in common is no bound") {
  for (const Repetition& other : {with_turns({}), with_turns({{7, 0, 1}}), Repetition()}) {
    const auto bounds = clock_offset(with_turns({{100, 0, 20}}), other);
    REQUIRE_OK(bounds);
    CHECK_FALSE(*bounds);
  }
}

TEST_CASE("turns that contradict each other are refused, and times that no clock shows") {
  const Repetition first = with_turns({{100, 0, 10}, {101, 1'000'000'000, 1'000'000'010}});
  const Repetition stepped = with_turns({{100, 0, 10}, {101, 3'000'000'000, 3'000'000'010}});
  CHECK_ERROR(clock_offset(first, stepped), ErrorCode::kInvalidInput, "contradict each other by 2");
  const Repetition far = with_turns({{100, INT64_MIN, INT64_MAX}});
  CHECK_ERROR(clock_offset(first, far), ErrorCode::kInvalidInput, "times that no clock shows");
}

TEST_CASE("the true offset lies inside whatever the clients saw of the turns") {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    CAPTURE(seed);
    RandomStream random(seed);
    const auto below = [&](std::int64_t bound) {
      return static_cast<std::int64_t>(random.next_below(static_cast<std::uint64_t>(bound)));
    };
    const std::int64_t offset_ns = below(100'000 * kOffsetMs) - 50'000 * kOffsetMs;
    const double drift = 0.99 * kClockDrift * (2 * random.next_unit() - 1);  // of the other clock relative to the first
    std::vector<DateTurn> seen_first, seen_other;
    const std::int64_t n_turns = 1 + below(20);
    for (std::int64_t turn = 0; turn < n_turns; ++turn) {
      // The length of a server second varies: nothing may depend on the speed of the server's clock.
      const std::int64_t at_ns = turn * 1000 * kOffsetMs + below(900 * kOffsetMs);
      const std::int64_t there_ns = at_ns - offset_ns + static_cast<std::int64_t>(drift * static_cast<double>(at_ns));
      if (below(10) > 0)
        seen_first.push_back({500 + turn, at_ns - below(30 * kOffsetMs), at_ns + below(30 * kOffsetMs)});
      if (below(10) > 0)
        seen_other.push_back({500 + turn, there_ns - below(30 * kOffsetMs), there_ns + below(30 * kOffsetMs)});
    }
    const auto bounds = clock_offset(with_turns(seen_first, n_turns * 1000 * kOffsetMs), with_turns(seen_other));
    REQUIRE_OK(bounds);
    if (!*bounds) continue;
    // The true offset changes with the drift; it must lie within the bounds at the beginning and at the end.
    for (const double moment_ns : {0.0, 1e9 * static_cast<double>(n_turns)}) {
      const auto true_ns = offset_ns - static_cast<std::int64_t>(drift * moment_ns);
      CHECK((*bounds)->low_ns <= true_ns);
      CHECK((*bounds)->high_ns >= true_ns);
    }
  }
}
