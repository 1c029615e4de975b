// Expected values: SciPy 1.17.1 (scipy.stats.binom, t, median_abs_deviation) and NumPy, which are independent
// implementations.

#include <cmath>
#include <numeric>
#include <vector>

#include "core/random.h"
#include "stats/distribution.h"
#include "stats/hodges_lehmann.h"
#include "stats/proportion.h"
#include "stats/quantile.h"
#include "stats/shift.h"
#include "support/catch.h"

using namespace secondsource;

TEST_CASE("the binomial distribution agrees with SciPy") {
  const auto [k, n, p, expected] =
      GENERATE(table<std::int64_t, std::int64_t, double, double>({{3, 10, 0.5, 0.171875},
                                                                  {55, 59, 0.95, 0.3412267262516028},
                                                                  {0, 5, 0.5, 0.03125},
                                                                  {297, 300, 0.99, 0.5779360824602564}}));
  CHECK(binomial_cdf(k, n, p) == Approx(expected).epsilon(1e-10));
}

TEST_CASE("the incomplete beta function agrees with SciPy, also for large arguments") {
  CHECK(regularized_beta(300, 200, 0.58) == Approx(0.1803989335827325).epsilon(1e-10));
  CHECK(regularized_beta(10'000, 990'001, 0.0101) == Approx(0.8425809024788634).epsilon(1e-8));
  CHECK(regularized_beta(500'000, 500'001, 0.5) == Approx(0.5003989421806654).epsilon(1e-8));
}

TEST_CASE("Student's t distribution and its inverse agree with SciPy") {
  const auto [t, degrees, expected] = GENERATE(table<double, double, double>({{0.5, 1, 0.6475836176504333},
                                                                              {2.306, 8, 0.9749998386193579},
                                                                              {-3.2, 4, 0.016450405300469487},
                                                                              {5.6, 4, 0.9975039284103949},
                                                                              {7.15, 8, 0.9999514540240191}}));
  CHECK(student_t_cdf(t, degrees) == Approx(expected).epsilon(1e-10));
  CHECK(student_t_quantile(0.9975, 8) == Approx(3.8325186853443576));
  CHECK(student_t_quantile(0.9975, 4) == Approx(5.597568367075492));
  CHECK(student_t_quantile(0.05, 30) == Approx(-1.6972608865939574));
  CHECK(normal_cdf(1.959963984540054) == Approx(0.975));
}

TEST_CASE("Hodges-Lehmann estimates, the median and the robust sigma agree with NumPy and SciPy") {
  const std::vector<double> x = {1.1, 2.7, 0.4, 9.9, 3.2, 1.8, 2.2};
  CHECK(*hodges_lehmann(x) == Approx(2.225));
  CHECK(*hodges_lehmann_shift(std::vector<double>{1.0, 2.5, 3.1, 0.2}, std::vector<double>{4.0, 2.2, 5.9}) ==
        Approx(2.4));
  CHECK(*robust_sigma(x) == Approx(1.482602218505602));
  CHECK(*median(x) == 2.2);
  CHECK_FALSE(robust_sigma(std::vector<double>{1, 2, 3, 4}));
  CHECK_FALSE(median({}));
  std::vector<double> sorted = x;
  std::sort(sorted.begin(), sorted.end());
  CHECK(quantile_of_sorted(sorted, 0.9) == Approx(5.88));
}

TEST_CASE("a percentile is given only where a value lies on each side of it with 95 % confidence") {
  CHECK(smallest_sample_for(0.5) == 5);
  CHECK(smallest_sample_for(0.9) == 29);
  CHECK(smallest_sample_for(0.95) == 59);
  CHECK(smallest_sample_for(0.99) == 299);
  CHECK_FALSE(supported_quantile_of_sorted(std::vector<double>(58, 1.0), 0.95));
  CHECK(supported_quantile_of_sorted(std::vector<double>(59, 1.0), 0.95));
  // With a probability of 0.95^58 = 5.1 %, none of 58 values is above the 95th percentile.
  for (const double q : {0.5, 0.9, 0.95, 0.99}) {
    const std::int64_t n = smallest_sample_for(q);
    CHECK(binomial_cdf(n - 1, n, q) >= 0.95);
    CHECK(binomial_cdf(n - 2, n - 1, q) < 0.95);
  }
}

TEST_CASE("a shift between sittings counts the sittings' own error") {
  const std::vector<double> a = {1.00, 1.01, 0.99, 1.02, 0.98};
  std::vector<double> b;
  for (const double x : a) b.push_back(x + 0.4);
  const auto shift = estimate_shift(a, b, 0.04);
  REQUIRE(shift);
  CHECK(shift->estimate == Approx(0.4));
  // By hand: robust sigma 0.014826 on both sides, pi/2 * 2 * 0.014826^2 / 5 = 1.3812e-4, plus 2 * 0.04^2 = 3.2e-3.
  CHECK(shift->standard_error == Approx(std::sqrt(1.38115e-4 + 3.2e-3)).epsilon(1e-4));
  CHECK(shift->degrees == 8);
  CHECK(shift->p_larger < 1e-4);
  CHECK(shift->p_larger + shift->p_smaller == Approx(1.0));
  CHECK(shift->lower_bound(0.95) == Approx(0.4 - 1.8595480375308973 * shift->standard_error));
  CHECK_FALSE(estimate_shift(a, std::vector<double>{1, 2, 3}, 0.04));
}

TEST_CASE("a shift between nights has the error of Student's t, by the pooled standard deviation") {
  const std::vector<double> a = {1.00, 1.03, 0.98, 1.05, 0.99};
  const std::vector<double> b = {1.30, 1.22, 1.35, 1.28, 1.25, 1.33};
  const auto shift = estimate_shift_of_sittings(a, b);
  REQUIRE(shift);
  // NumPy: the median of all differences. SciPy: the standard error behind ttest_ind(b, a), times sqrt(pi / 3); t.sf of
  // the quotient and t.ppf(0.975), with 9 degrees of freedom.
  CHECK(shift->estimate == Approx(0.28));
  CHECK(shift->standard_error == Approx(0.02553511464983569));
  CHECK(shift->degrees == 9);
  CHECK(shift->p_larger == Approx(8.267027129482247e-07).epsilon(1e-6));
  CHECK(shift->upper_bound(0.975) == Approx(0.28 + 0.057764442507999184));
  // One night of 10 instead of 1.33 is no shift by itself, and hides the one that is there.
  std::vector<double> with_outlier = b;
  with_outlier.back() = 10;
  CHECK(estimate_shift_of_sittings(a, with_outlier)->estimate < 0.31);
  CHECK(estimate_shift_of_sittings(a, with_outlier)->p_larger > 0.4);
  CHECK_FALSE(estimate_shift_of_sittings(a, std::vector<double>{1, 2, 3, 4}));
}

TEST_CASE("two sittings of the same thing are seldom called different") {
  // The error of a sitting is 4 %, the noise of a run 3 %; with alpha 0.01 at most 1.5 % of 4000 may be called
  // different.
  RandomStream random(5);
  const auto normal = [&] {  // Box and Muller, 1958
    const double radius = std::sqrt(-2 * std::log(1 - random.next_unit()));
    return radius * std::cos(6.283185307179586 * random.next_unit());
  };
  int larger = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<double> a(5);
    std::vector<double> b(5);
    const double sitting_a = 0.04 * normal();
    const double sitting_b = 0.04 * normal();
    for (double& x : a) x = sitting_a + 0.03 * normal();
    for (double& x : b) x = sitting_b + 0.03 * normal();
    larger += estimate_shift(a, b, 0.04)->p_larger <= 0.01;
  }
  CHECK(larger <= 60);
}

TEST_CASE("bounds of a proportion agree with SciPy's beta quantiles") {
  struct Case {
    std::int64_t k, n;
    double low, high;
  };
  for (const Case& one :
       {Case{0, 300, 0, 0.009936081944457708}, Case{3, 300, 0.0027310302182070373, 0.025641393082609616},
        Case{0, 1000, 0, 0.002991249545095295}, Case{1987, 2000, 0.9896855318784032, 0.9961510575018556},
        Case{100, 100, 0.9704869503929601, 1}}) {
    CAPTURE(one.k, one.n);
    const ProportionBounds bounds = proportion_bounds(one.k, one.n);
    CHECK(bounds.low == Approx(one.low).margin(1e-9));
    CHECK(bounds.high == Approx(one.high).margin(1e-9));
  }
}
