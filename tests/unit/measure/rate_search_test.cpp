#include "measure/rate_search.h"

#include <vector>

#include "measure/stop_rule.h"
#include "support/catch.h"

namespace secondsource {
namespace {

/// Returns the rates that the search tries for a system that keeps its SLO up to `limit`.
std::vector<double> rates_of(double limit, RateSearch& search) {
  std::vector<double> rates;
  while (const auto rate = search.next()) {
    rates.push_back(*rate);
    search.tell(*rate, *rate <= limit);
  }
  return rates;
}

TEST_CASE("the search doubles, then bisects, and ends within five percent below the limit") {
  for (const double limit : {0.02, 0.7, 1.0, 13.0, 900.0}) {
    CAPTURE(limit);
    RateSearch search;
    const std::vector<double> rates = rates_of(limit, search);
    REQUIRE(search.best());
    CHECK(*search.best() <= limit);
    CHECK(*search.best() > limit / 1.1);
    CHECK(rates.size() <= 24);
  }
  RateSearch search;
  const std::vector<double> first_of(rates_of(300, search));
  CHECK(std::vector<double>(first_of.begin(), first_of.begin() + 4) == std::vector<double>{64, 128, 256, 512});
}

TEST_CASE("no rate and any rate end the search as well") {
  RateSearch none;
  CHECK(rates_of(0, none).back() == 1.0 / 64);
  CHECK_FALSE(none.best());
  CHECK(none.limit() == 1.0 / 64);
  RateSearch any({.highest = 200});
  CHECK(rates_of(1e9, any).back() == 128);
  CHECK(any.best() == 128.0);
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
