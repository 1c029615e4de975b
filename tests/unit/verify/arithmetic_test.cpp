// Compares the arithmetic of lib/verify with published values, and with that of lib/stats, which it must not share.

#include "verify/arithmetic.h"

#include "core/random.h"
#include "stats/proportion.h"
#include "stats/quantile.h"
#include "support/catch.h"

using namespace secondsource;

TEST_CASE("binomial sums are those of the table") {
  // Abramowitz and Stegun, table 26.5: n = 10, p = 0.5: P(X <= 1) = 11/1024.
  CHECK(verify::binomial_at_most(1, 10, 0.5) == Approx(11.0 / 1024));
  CHECK(verify::binomial_at_most(10, 10, 0.5) == 1);
  CHECK(verify::binomial_at_most(-1, 10, 0.5) == 0);
}

TEST_CASE("bounds of a share are those of Clopper and Pearson") {
  // 0 of 300: 1 - 0.05^(1/300); 300 of 300: 0.05^(1/300).
  CHECK(verify::share_bounds(0, 300).high == Approx(1 - std::pow(0.05, 1.0 / 300)));
  CHECK(verify::share_bounds(0, 300).low == 0);
  CHECK(verify::share_bounds(300, 300).low == Approx(std::pow(0.05, 1.0 / 300)));
  CHECK(verify::share_bounds(300, 300).high == 1);
  for (const auto& [k, n] : {std::pair<std::int64_t, std::int64_t>{1, 7}, {50, 100}, {997, 1000}}) {
    const ProportionBounds expected = proportion_bounds(k, n);
    CHECK(verify::share_bounds(k, n).low == Approx(expected.low).epsilon(1e-9));
    CHECK(verify::share_bounds(k, n).high == Approx(expected.high).epsilon(1e-9));
  }
}

TEST_CASE("quantiles and their bounds are the same order statistics as those of the first implementation") {
  RandomStream random(7);
  for (const std::size_t n : {0, 1, 4, 5, 28, 29, 58, 59, 60, 75, 298, 299, 300, 1000, 20000}) {
    std::vector<double> values;
    for (std::size_t i = 0; i < n; ++i) values.push_back(random.next_unit());
    for (const double q : {0.5, 0.9, 0.95, 0.99}) {
      CAPTURE(n, q);
      const auto expected = estimate_quantile(values, q);
      const auto bounds = verify::quantile_bounds(values, q);
      REQUIRE(bounds.has_value() == expected.has_value());
      if (!expected) continue;
      CHECK(bounds->low == expected->low);
      CHECK(bounds->high == expected->high);
      CHECK(*verify::quantile(values, q) == Approx(expected->value));
    }
  }
}
