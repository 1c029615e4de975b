// Compares the arithmetic of lib/verify with published values, and with that of lib/stats, which it must not share.

#include "verify/arithmetic.h"

#include <algorithm>

#include "core/random.h"
#include "stats/proportion.h"
#include "stats/quantile.h"
#include "stats/rerun.h"
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

TEST_CASE("quantiles are those of the first implementation, and so is the sample that they need") {
  RandomStream random(7);
  for (const std::size_t n : {0, 1, 4, 5, 28, 29, 58, 59, 60, 75, 298, 299, 300, 1000, 20000}) {
    std::vector<double> values;
    for (std::size_t i = 0; i < n; ++i) values.push_back(random.next_unit());
    for (const double q : {0.5, 0.9, 0.95, 0.99}) {
      CAPTURE(n, q);
      std::vector<double> ascending = values;
      std::ranges::sort(ascending);
      const auto expected = supported_quantile_of_sorted(ascending, q);
      REQUIRE(verify::supports_quantile(static_cast<std::int64_t>(n), q) == expected.has_value());
      if (expected) CHECK(*verify::quantile(values, q) == Approx(*expected));
    }
  }
}

TEST_CASE("Student's t is that of the table") {
  // Abramowitz and Stegun, table 26.10, A(t|v) = 95 %.
  CHECK(verify::student_t_within(12.706, 1) == Approx(0.95).margin(1e-5));
  CHECK(verify::student_t_within(4.303, 2) == Approx(0.95).margin(1e-5));
  CHECK(verify::student_t_within(2.571, 5) == Approx(0.95).margin(1e-4));
  CHECK(verify::student_t_within(2.228, 10) == Approx(0.95).margin(1e-4));
}

TEST_CASE("the bounds of a rerun are those of the first implementation") {
  RandomStream random(8);
  for (const std::size_t n : {0, 2, 3, 4, 5, 7, 10, 20, 21, 100, 1000}) {
    for (const double spread : {0.0, 1e-7, 0.01, 1.0}) {
      CAPTURE(n, spread);
      std::vector<double> values;
      double level = 1;
      for (std::size_t i = 0; i < n; ++i) {
        level = 0.6 * level + 0.4 * random.next_unit();
        values.push_back(1e6 * (1 + spread * level));
      }
      const auto expected = rerun_bounds(3e6, values);
      const auto bounds = verify::rerun_bounds(3e6, values);
      REQUIRE(bounds.has_value() == expected.has_value());
      if (!expected) continue;
      CHECK(bounds->low == Approx(expected->low).epsilon(1e-9));
      CHECK(bounds->high == Approx(expected->high).epsilon(1e-9));
    }
  }
  CHECK_FALSE(verify::rerun_bounds(1, {1, 0, 2}));
  CHECK(verify::rerun_bounds(0, {0, 0, 0}));
}
