#include "measure/capacity_search.h"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

#include "measure/stop_rule.h"
#include "support/catch.h"

namespace secondsource {
namespace {

/// A system that keeps its SLO up to `limit` requests/s and completes `saturation` requests/s at full load.
struct Steady {
  double saturation;
  double limit;
  double wall_s = 10;
};

RateProbe answer(const CapacitySearch::Attempt& attempt, const Steady& system) {
  RateProbe probe{.rate_per_s = attempt.rate_per_s, .why = "planted", .phase = attempt.phase, .wall_s = system.wall_s};
  probe.verdict = attempt.rate_per_s <= system.limit ? ProbeVerdict::kKept : ProbeVerdict::kNotKept;
  if (attempt.phase == ProbePhase::kSaturation) {
    probe.rate_per_s = system.saturation;
    probe.verdict = ProbeVerdict::kSaturated;
  }
  return probe;
}

std::vector<CapacitySearch::Attempt> attempts_of(CapacitySearch& search, const Steady& system) {
  std::vector<CapacitySearch::Attempt> attempts;
  while (const auto attempt = search.next()) {
    attempts.push_back(*attempt);
    search.tell(answer(*attempt, system));
  }
  return attempts;
}

TEST_CASE("the search begins at saturation, bisects, holds, and ends within five percent below the limit") {
  for (const double saturation : {0.02, 1.0, 235.0, 40'000.0}) {
    for (const double share : {0.03, 0.3, 0.79, 0.81, 0.97, 1.2}) {
      CAPTURE(saturation, share);
      CapacitySearch search({.in_flight = 16});
      const auto attempts = attempts_of(search, {saturation, share * saturation, 0});
      CHECK(attempts.front().phase == ProbePhase::kSaturation);
      CHECK(attempts.front().n_requests == 48);
      CHECK(attempts[1].rate_per_s == Approx(0.8 * saturation));
      CHECK(attempts.back().phase == ProbePhase::kHold);
      CHECK(attempts.size() <= 24);
      REQUIRE(search.held());
      CHECK(*search.held() <= share * saturation);
      CHECK(*search.held() > share * saturation / 1.05);
    }
  }
}

TEST_CASE(
    "an attempt takes ten seconds, five times a request in a full system or sixty requests; a hold three times as long") {
  struct Case {
    double saturation;
    double seconds;  ///< length of the first attempt, which is at 0.8 of saturation
  };
  for (const Case& one : {Case{400, 10}, Case{16 / 20.0, 100}, Case{7, 5 * 16 / 7.0}}) {
    CAPTURE(one.saturation);
    CapacitySearch search({.in_flight = 16});
    const auto attempts = attempts_of(search, {one.saturation, 0.8 * one.saturation, 0});
    CHECK(attempts[1].n_requests == Approx(0.8 * one.saturation * one.seconds).margin(1));
    CHECK(attempts.back().n_requests == Approx(3 * attempts[1].n_requests).margin(3));
    CHECK(search.n_requests() == attempts[1].n_requests);
  }
  CapacitySearch few({.in_flight = 1, .fewest_requests = 60});
  CHECK(attempts_of(few, {1, 0.8, 0})[1].n_requests == 60);
  CapacitySearch given({.in_flight = 16, .n_requests = 8});
  const auto attempts = attempts_of(given, {100, 80, 0});
  CHECK(attempts.front().n_requests == 8);
  CHECK(attempts[1].n_requests == 8);
  CHECK(attempts.back().n_requests == 24);
}

TEST_CASE("a single miss is tried again, and counts only when the second attempt misses as well") {
  CapacitySearch search({.in_flight = 16});
  search.tell(answer(*search.next(), {100, 90}));
  const auto first = *search.next();
  search.tell(answer(first, {100, 0}));  // a burst
  CHECK(search.next()->rate_per_s == first.rate_per_s);
  attempts_of(search, {100, 90, 0});
  REQUIRE(search.held());
  CHECK(*search.held() > 90 / 1.05);
}

TEST_CASE("a rate that does not hold is given up, step by step, until one holds; and none does in ten holds") {
  CapacitySearch search({.in_flight = 16});
  std::vector<double> holds;
  while (const auto attempt = search.next()) {
    const bool is_hold = attempt->phase == ProbePhase::kHold;
    if (is_hold) holds.push_back(attempt->rate_per_s);
    search.tell(answer(*attempt, {100, is_hold ? 80.0 : 100.0, 0}));
  }
  REQUIRE(holds.size() == 5);
  CHECK(holds[1] == Approx(holds[0] / 1.05));
  CHECK(holds[2] == Approx(holds[1] / 1.05));
  CHECK(holds[3] == Approx(holds[2] / std::pow(1.05, 2)));
  CHECK(holds[4] == Approx(holds[3] / std::pow(1.05, 2)));
  CHECK(search.held() == holds.back());
  CHECK(*search.held() <= 80);
  // A repetition that fails later is a failed hold as well.
  search.tell({.rate_per_s = holds.back(), .verdict = ProbeVerdict::kSaturated, .phase = ProbePhase::kHold});
  CHECK_FALSE(search.held());
  CHECK(search.next()->rate_per_s == Approx(holds.back() / std::pow(1.05, 3)));

  CapacitySearch none({.in_flight = 16});
  std::int32_t n_holds = 0;
  double last_rate = 0;
  while (const auto attempt = none.next()) {
    const bool is_hold = attempt->phase == ProbePhase::kHold;
    n_holds += is_hold ? 1 : 0;
    last_rate = attempt->rate_per_s;
    none.tell(answer(*attempt, {100, is_hold ? 0.0 : 90.0, 0}));
  }
  CHECK(n_holds == 10);
  CHECK_FALSE(none.held());
  CHECK(none.state().starts_with("no rate was held for long enough: "));
  CHECK(none.state().find(fmt::format(" {:.3g} missed it in the last", last_rate)) != std::string::npos);
}

TEST_CASE("the search ends when its time is used up, with the best rate so far, or with none") {
  CapacitySearch slow({.in_flight = 16});
  const auto attempts = attempts_of(slow, {100, 90, 60});  // two attempts fill two minutes
  CHECK(attempts.size() == 4);                             // saturation, two rates, the hold
  CHECK(slow.held() == attempts[1].rate_per_s);
  CapacitySearch cut({.in_flight = 16});
  cut.end_search();  // no rate has kept the SLO yet, so the search goes on
  cut.tell(answer(*cut.next(), {100, 90, 0}));
  cut.tell(answer(*cut.next(), {100, 90, 0}));
  cut.end_search();
  CHECK(cut.next()->phase == ProbePhase::kHold);
  cut.tell(answer(*cut.next(), {100, 0, 0}));  // does not hold, and there is no time for a lower rate
  CHECK_FALSE(cut.next());
  CHECK(
      cut.state() ==
      "no rate was held for long enough until the time was used up: 80 requests/s kept the SLO once, and 80 missed it in "
      "the last longer try");
}

TEST_CASE("no rate, and requests that miss the SLO alone, end the search as well") {
  CapacitySearch none({.in_flight = 16});
  const auto attempts = attempts_of(none, {100, 0, 0});
  CHECK_FALSE(none.held());
  CHECK(attempts.size() == 17);  // saturation, and eight rates twice
  CHECK(attempts.back().rate_per_s == Approx(80 / std::pow(1.25, 28)));
  CHECK(none.state().starts_with("no rate keeps the SLO: even 0.155 requests/s"));
  CapacitySearch never({.in_flight = 16});
  never.tell(answer(*never.next(), {100, 90}));
  never.tell({.rate_per_s = 80, .verdict = ProbeVerdict::kNever, .why = "too slow", .phase = ProbePhase::kSearch});
  REQUIRE(never.next());  // other load may have delayed that request
  CHECK(never.next()->rate_per_s == 80);
  never.tell({.rate_per_s = 80, .verdict = ProbeVerdict::kNever, .why = "too slow", .phase = ProbePhase::kSearch});
  CHECK_FALSE(never.next());
  CHECK(never.state() == "no rate keeps the SLO: at 80 requests/s, too slow");
  CapacitySearch broken({.in_flight = 16});
  broken.tell({.verdict = ProbeVerdict::kErrors, .why = "20 of 20 requests failed", .phase = ProbePhase::kSaturation});
  CHECK_FALSE(broken.next());
  CHECK(broken.state() == "no rate was tried, because in a full system 20 of 20 requests failed");
}

ObservedRequest ended(bool failed) {
  ObservedRequest request;
  request.end = RequestEnd{.error = failed ? "planted" : ""};
  return request;
}

TEST_CASE("a load is given up when errors exceed their share, too many wait, or the SLO is lost for certain") {
  const StopRule errors{.max_error_rate = 0.05};
  StopWatch failing(errors);
  for (int i = 0; i < 19; ++i) failing.on_end(ended(true));
  CHECK_FALSE(failing.verdict(1000));  // too few to judge
  failing.on_end(ended(true));
  CHECK(failing.verdict(0)->verdict == ProbeVerdict::kErrors);
  CHECK(failing.verdict(0)->why == "20 of 20 requests failed");
  StopWatch one_of_twenty(errors);
  for (int i = 0; i < 20; ++i) one_of_twenty.on_end(ended(i == 0));
  CHECK_FALSE(one_of_twenty.verdict(0));

  const StopRule waiting{.max_waiting = 10};
  CHECK_FALSE(StopWatch(waiting).verdict(10));
  CHECK(StopWatch(waiting).verdict(11)->verdict == ProbeVerdict::kSaturated);
  CHECK(StopWatch(waiting).verdict(11)->why == "11 requests wait for their first token");

  const StopRule misses{.max_misses = 1,
                        .is_miss = [](const ObservedRequest& request) { return request.has_failed(); }};
  StopWatch slow(misses);
  slow.on_end(ended(true));
  CHECK_FALSE(slow.verdict(0));
  slow.on_end(ended(true));
  CHECK(slow.verdict(0)->verdict == ProbeVerdict::kNotKept);
  CHECK(slow.verdict(0)->why == "2 of 2 requests missed the SLO already");
}

}  // namespace
}  // namespace secondsource
