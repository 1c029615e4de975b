// Expected values: NumPy and SciPy 1.17.1, by `tests/reruns/simulate.py --reference`, which computes the bounds from their
// formula and shares no line with lib/stats. How often they hold is simulated there and in unit/summary.

#include "stats/rerun.h"

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.h"

using namespace secondsource;

TEST_CASE("the bounds of a rerun agree with SciPy, for a seesaw, a drift and what lies between") {
  const auto [values, factor] = GENERATE(table<std::vector<double>, double>({
      {{100, 103, 98}, 1.1616088252313874},
      {{5, 5.5, 5.2, 6.1, 6.0}, 1.6400383121317066},
      {{1.0, 1.3, 0.9, 1.2, 1.0, 1.1, 1.25}, 1.193977851683067},
      {{2, 1, 2, 1, 2, 1, 2, 1}, 1.5496822300631647},
      {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 9.149460561137944},
  }));
  const auto bounds = rerun_bounds(10, values);
  REQUIRE(bounds);
  CHECK(bounds->high == Approx(10 * factor).epsilon(1e-9));
  CHECK(bounds->low == Approx(10 / factor).epsilon(1e-9));
}

TEST_CASE("a rate and the time that follows from it have the same relative bounds") {
  const auto rate = rerun_bounds(4, std::vector<double>{4, 5, 4, 2});
  const auto time = rerun_bounds(0.25, std::vector<double>{0.25, 0.2, 0.25, 0.5});
  REQUIRE(rate);
  REQUIRE(time);
  CHECK(1 / rate->low == Approx(time->high));
  CHECK(1 / rate->high == Approx(time->low));
}

TEST_CASE("there are no bounds where the repetitions support none") {
  CHECK_FALSE(rerun_bounds(1, {}));
  CHECK_FALSE(rerun_bounds(1, std::vector<double>{1, 1.1}));
  CHECK_FALSE(rerun_bounds(1, std::vector<double>{1, 1.1, 0}));
  CHECK_FALSE(rerun_bounds(1, std::vector<double>{1, 1.1, -1}));
  CHECK_FALSE(rerun_bounds(1, std::vector<double>{1e-300, 1e300, 1e-300}));
  CHECK_FALSE(rerun_bounds(1, std::vector<double>{1, std::numeric_limits<double>::quiet_NaN(), 1}));
}

TEST_CASE("repetitions that do not differ predict the same") {
  for (const double value : {7.0, 0.0}) {
    const auto bounds = rerun_bounds(value, std::vector<double>(3, value));
    REQUIRE(bounds);
    CHECK(bounds->low == value);
    CHECK(bounds->high == value);
  }
  // Values that differ although their logarithms are equal in f64.
  const auto near = rerun_bounds(1e9, std::vector<double>{1e9, std::nextafter(1e9, 2e9), 1e9});
  REQUIRE(near);
  CHECK(near->high == Approx(1e9));
}
