// Expected values: scipy 1.16 (stats.theilslopes), and p from its normal distribution; the score and its variance were
// counted by hand.

#include "stats/monotone_trend.h"

#include "support/catch.h"

namespace secondsource {
namespace {

std::vector<double> order(std::size_t n) {
  std::vector<double> x;
  for (std::size_t i = 0; i < n; ++i) x.push_back(static_cast<double>(i));
  return x;
}

TEST_CASE("a falling series has the p and the slope that scipy gives it") {
  const std::vector<double> y = {10, 9.8, 9.9, 9.5, 9.4, 9.6, 9.1, 9.0, 8.8, 8.9};
  const auto trend = monotone_trend(order(10), y);  // score -37, variance 125
  REQUIRE(trend);
  CHECK(trend->p == Approx(0.0012821837418053048).epsilon(1e-6));
  CHECK(trend->slope == Approx(-0.14));
  CHECK(trend->at(0) == Approx(10.08));
}

TEST_CASE("ties count for neither direction") {
  const std::vector<double> x = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9.5};
  const std::vector<double> y = {1, 2, 2, 3, 1, 2, 2, 3, 4, 4};
  const auto trend = monotone_trend(x, y);
  REQUIRE(trend);
  CHECK(trend->p == Approx(0.018857243768495357).epsilon(1e-6));
  CHECK(trend->slope == Approx(2.0 / 7));
  CHECK(monotone_trend(order(8), std::vector<double>(8, 3.0))->p == 1);
}

TEST_CASE("seven points are too few for a trend") {
  CHECK_FALSE(monotone_trend(order(7), order(7)));
}

TEST_CASE("groups are consecutive, of nearly equal size, and stand for their median") {
  const std::vector<double> values = {1, 2, 9, 4, 5, 6, 7};
  CHECK(medians_of_groups(values, 2) == std::vector<double>{2, 5.5});
  CHECK(medians_of_groups(values, 20) == values);
}

}  // namespace
}  // namespace secondsource
