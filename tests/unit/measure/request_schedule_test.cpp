// Tests when requests are due, with given times instead of a clock.

#include "measure/request_schedule.h"

#include <cmath>
#include <cstdlib>
#include <numeric>

#include "measure/load_generator.h"
#include "measure/steady_window.h"
#include "support/milliseconds.h"
#include "support/result.h"
#include "systems/null_system.h"

namespace secondsource {
namespace {

using test::kMs;

void check_due(RequestSchedule& schedule, std::int64_t now_ns, std::size_t index, std::int64_t due_ns) {
  CAPTURE(now_ns, index);
  const auto due = schedule.take_due(now_ns);
  REQUIRE(due);
  CHECK(due->index == index);
  CHECK(due->due_ns == due_ns);
}

TEST_CASE(
    "a turn is due when the answer before it is complete and its think time has passed, however late it is looked for") {
  // Two conversations of three turns, one user.
  const std::vector<std::int64_t> think = {0, 50, 70, 0, 20, 30};
  RequestSchedule schedule(6, {.in_flight = 1, .turns = 3, .think_ns = think}, 1000);
  check_due(schedule, 1005, 0, 1005);
  CHECK_FALSE(schedule.take_due(9999));  // the only user still waits for an answer
  CHECK(schedule.next_due_ns() == INT64_MAX);
  CHECK_FALSE(schedule.on_end(0, 1100));
  CHECK(schedule.next_due_ns() == 1150);
  CHECK_FALSE(schedule.take_due(1149));
  // If the load generator looks late, the turn keeps its scheduled time, so that the lateness counts as waiting time.
  check_due(schedule, 1400, 1, 1150);
  CHECK_FALSE(schedule.on_end(1, 1500));
  check_due(schedule, 1570, 2, 1570);
  CHECK_FALSE(schedule.take_due(2000));
  // The next conversation begins when the one before it has ended, without a pause.
  CHECK(schedule.on_end(2, 1600));
  check_due(schedule, 1605, 3, 1605);
  CHECK_FALSE(schedule.on_end(3, 1610));
  check_due(schedule, 1630, 4, 1630);
  CHECK_FALSE(schedule.on_end(4, 1700));
  check_due(schedule, 1730, 5, 1730);
  CHECK(schedule.on_end(5, 1800));
  CHECK_FALSE(schedule.take_due(5000));
}

TEST_CASE("a closed loop has as many conversations open as users, those that think included") {
  const std::vector<std::int64_t> think(8, 100);
  RequestSchedule schedule(8, {.in_flight = 2, .turns = 2, .think_ns = think}, 0);
  check_due(schedule, 0, 0, 0);
  check_due(schedule, 0, 2, 0);
  CHECK_FALSE(schedule.take_due(0));
  CHECK_FALSE(schedule.on_end(2, 10));
  CHECK_FALSE(schedule.take_due(20));  // its user thinks, and no other conversation starts meanwhile
  CHECK_FALSE(schedule.on_end(0, 15));
  check_due(schedule, 300, 3, 110);  // the earlier one first
  check_due(schedule, 300, 1, 115);
  CHECK(schedule.on_end(3, 400));
  check_due(schedule, 400, 4, 400);
  CHECK(schedule.on_end(1, 410));
  check_due(schedule, 410, 6, 410);
  CHECK_FALSE(schedule.on_end(4, 420));
  CHECK_FALSE(schedule.on_end(6, 430));
  check_due(schedule, 530, 5, 520);
  CHECK(schedule.on_end(5, 540));
  check_due(schedule, 540, 7, 530);
  CHECK(schedule.on_end(7, 550));
}

TEST_CASE("in an open loop conversations arrive by their own times, whatever the turns of the others do") {
  const std::vector<std::int64_t> arrivals = {10, 20, 500};
  const std::vector<std::int64_t> think(6, 5);
  RequestSchedule schedule(6, {.arrival_offsets_ns = arrivals, .turns = 2, .think_ns = think}, 100);
  CHECK(schedule.next_due_ns() == 110);
  CHECK_FALSE(schedule.take_due(109));
  check_due(schedule, 200, 0, 110);
  check_due(schedule, 200, 2, 120);
  CHECK(schedule.next_due_ns() == 600);
  CHECK_FALSE(schedule.on_end(0, 595));
  check_due(schedule, 700, 1, 600);  // of two due at the same time, the conversation that began earlier comes first
  check_due(schedule, 700, 4, 600);
  CHECK(schedule.next_due_ns() == INT64_MAX);  // the rest depends on answers
}

TEST_CASE("requests that are no conversations are due as they were") {
  RequestSchedule closed(3, {.in_flight = 2}, 0);
  check_due(closed, 7, 0, 7);
  check_due(closed, 8, 1, 8);
  CHECK_FALSE(closed.take_due(9));
  CHECK(closed.on_end(12345, 10));  // the tag of a request need not be its index
  check_due(closed, 11, 2, 11);
  CHECK(closed.on_end(0, 12));
  const std::vector<std::int64_t> arrivals = {0, 3};
  RequestSchedule open(2, {.arrival_offsets_ns = arrivals}, 50);
  check_due(open, 60, 0, 50);
  check_due(open, 60, 1, 53);
  CHECK_FALSE(open.take_due(99));
}

TEST_CASE("think times are constant, or exponential with the mean that was asked for, and the same for every system") {
  Scenario scenario{.kind = ScenarioKind::kOffline, .n_requests = 40'000};
  scenario.turns = 4;
  scenario.think_s = 0.25;
  const std::vector<std::int64_t> constant = think_times_ns(scenario, 7);
  REQUIRE(constant.size() == 40'000);
  for (std::size_t i = 0; i < constant.size(); ++i) REQUIRE(constant[i] == (i % 4 == 0 ? 0 : 250 * kMs));
  scenario.think = ThinkKind::kExponential;
  const std::vector<std::int64_t> drawn = think_times_ns(scenario, 7);
  CHECK(drawn == think_times_ns(scenario, 7));
  CHECK(drawn != think_times_ns(scenario, 8));
  double sum_s = 0, squares = 0;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    REQUIRE((drawn[i] == 0 || i % 4 != 0));
    sum_s += 1e-9 * static_cast<double>(drawn[i]);
    squares += 1e-18 * static_cast<double>(drawn[i]) * static_cast<double>(drawn[i]);
  }
  // The mean of 30 000 exponential times deviates by 0.58 % of itself (one standard deviation), their second moment, twice the
  // square of the mean, by 1.3 %.
  CHECK(std::abs(sum_s / 30'000 - 0.25) < 4 * 0.0058 * 0.25);
  CHECK(std::abs(squares / 30'000 - 2 * 0.0625) < 4 * 0.013 * 2 * 0.0625);
}

LoadResult conversations_of(NullSystem& system, const LoadShape& shape, std::int32_t n_requests) {
  std::vector<TimedRequest> requests(static_cast<std::size_t>(n_requests));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].tag = static_cast<std::int64_t>(i);
    requests[i].n_output_tokens = 3;
  }
  const InterruptFlag never;
  ProgressCount progress{0};
  auto load = generate_load(system, requests, shape, never, progress);
  REQUIRE_OK(load);
  REQUIRE(load->requests.size() == requests.size());
  return *std::move(load);
}

TEST_CASE("a load of conversations sends each turn its think time after the last token of the answer before it") {
  NullSystem system({.first_token_ns = 2 * kMs, .token_gap_ns = 1 * kMs});
  LoadShape shape{.in_flight = 2, .turns = 3};
  shape.think_ns = {0, 5 * kMs, 6 * kMs, 0, 7 * kMs, 8 * kMs, 0, 5 * kMs, 5 * kMs};
  const LoadResult load = conversations_of(system, shape, 9);
  std::vector<const ObservedRequest*> by_tag(9);
  for (const ObservedRequest& request : load.requests) by_tag[static_cast<std::size_t>(request.tag)] = &request;
  for (std::size_t i = 0; i < 9; ++i) {
    CAPTURE(i);
    REQUIRE(by_tag[i] != nullptr);
    CHECK(by_tag[i]->sent_ns >= by_tag[i]->scheduled_ns);
    if (i % 3 != 0) CHECK(by_tag[i]->scheduled_ns == by_tag[i - 1]->token_ns.back() + shape.think_ns[i]);
  }
  // The third conversation begins when the first of the other two has ended.
  const std::int64_t first_end_ns = std::min(by_tag[2]->token_ns.back(), by_tag[5]->token_ns.back());
  CHECK(by_tag[6]->sent_ns >= first_end_ns);
  // The load stays full until a second conversation has ended.
  std::vector<std::int64_t> ends_ns = {by_tag[2]->token_ns.back(), by_tag[5]->token_ns.back(),
                                       by_tag[8]->token_ns.back()};
  std::ranges::sort(ends_ns);
  CHECK(load.full_until_ns == ends_ns[1]);
  const SteadyWindow window = steady_window(ScenarioKind::kOffline, load, 3);
  CHECK(window.end_ns == load.full_until_ns);
}

TEST_CASE("the steady window of arriving conversations lies between the first end and the last arrival of one") {
  NullSystem system({.first_token_ns = 1 * kMs, .token_gap_ns = 1 * kMs});
  LoadShape shape{.turns = 2, .stop = {}};
  shape.arrival_offsets_ns = {0, 5 * kMs, 60 * kMs};
  shape.think_ns = std::vector<std::int64_t>(6, 10 * kMs);
  const LoadResult load = conversations_of(system, shape, 6);
  std::int64_t first_end_ns = INT64_MAX, last_arrival_ns = 0;
  for (const ObservedRequest& request : load.requests) {
    if (request.tag % 2 == 1) first_end_ns = std::min(first_end_ns, request.token_ns.back());
    if (request.tag == 4) last_arrival_ns = request.scheduled_ns;
  }
  CHECK(last_arrival_ns == load.start_ns + 60 * kMs);
  const SteadyWindow window = steady_window(ScenarioKind::kServer, load, 2);
  REQUIRE(first_end_ns < last_arrival_ns);
  CHECK(window.start_ns == first_end_ns);
  CHECK(window.end_ns == last_arrival_ns);
}

}  // namespace
}  // namespace secondsource
