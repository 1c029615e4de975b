#include "measure/arrivals.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "support/catch.h"

namespace secondsource {
namespace {

std::vector<double> gaps_of(const ArrivalPlan& plan) {
  std::vector<double> gaps_s;
  std::int64_t before = 0;
  for (const std::int64_t at : arrival_offsets_ns(plan)) {
    gaps_s.push_back(1e-9 * static_cast<double>(at - before));
    before = at;
  }
  return gaps_s;
}

/// The regularized lower incomplete gamma function P(a, x) by its series (Abramowitz and Stegun 6.5.29).
double incomplete_gamma(double a, double x) {
  if (x <= 0) return 0;
  double term = 1 / std::tgamma(a + 1);
  double sum = term;
  for (int n = 1; n < 500 && term > 1e-17 * sum; ++n) sum += term *= x / (a + n);
  return std::pow(x, a) * std::exp(-x) * sum;
}

/// The largest distance between the sample's distribution and `cdf`.
double kolmogorov_distance(std::vector<double> sample, const std::function<double(double)>& cdf) {
  std::sort(sample.begin(), sample.end());
  const auto n = static_cast<double>(sample.size());
  double distance = 0;
  for (std::size_t i = 0; i < sample.size(); ++i) {
    const double expected = cdf(sample[i]);
    distance = std::max({distance, expected - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - expected});
  }
  return distance;
}

TEST_CASE("arrivals are a function of the seed, and a longer run begins with the shorter one") {
  for (const ArrivalKind kind : {ArrivalKind::kPoisson, ArrivalKind::kGamma}) {
    ArrivalPlan plan{.kind = kind, .rate_per_s = 10, .burstiness = 0.5, .n_requests = 50, .seed = 7};
    const auto few = arrival_offsets_ns(plan);
    plan.n_requests = 100;
    const auto many = arrival_offsets_ns(plan);
    CHECK(std::equal(few.begin(), few.end(), many.begin()));
    CHECK(std::is_sorted(many.begin(), many.end()));
    plan.seed = 8;
    plan.n_requests = 50;
    CHECK(few != arrival_offsets_ns(plan));
  }
}

TEST_CASE("constant arrivals are equally far apart, the first after one gap") {
  CHECK(arrival_offsets_ns({.kind = ArrivalKind::kConstant, .rate_per_s = 8, .n_requests = 3}) ==
        std::vector<std::int64_t>{125'000'000, 250'000'000, 375'000'000});
}

TEST_CASE("gaps have the distribution that was asked for: mean, coefficient of variation, and Kolmogorov's test") {
  constexpr std::int32_t kCount = 20'000;
  constexpr double kRate = 25.0;
  struct Case {
    ArrivalKind kind;
    double shape;  ///< shape of the gamma distribution; 1 is exponential
  };
  for (const Case& one : {Case{ArrivalKind::kPoisson, 1}, Case{ArrivalKind::kGamma, 1}, Case{ArrivalKind::kGamma, 0.25},
                          Case{ArrivalKind::kGamma, 4}}) {
    CAPTURE(static_cast<int>(one.kind), one.shape);
    const std::vector<double> gaps_s =
        gaps_of({.kind = one.kind, .rate_per_s = kRate, .burstiness = one.shape, .n_requests = kCount, .seed = 3});
    double sum = 0;
    double squares = 0;
    for (const double gap : gaps_s) {
      sum += gap;
      squares += gap * gap;
    }
    const double mean = sum / kCount;
    const double sigma = std::sqrt(squares / kCount - mean * mean);
    const double expected_cv = 1 / std::sqrt(one.shape);
    // The margin is five standard errors of the mean.
    CHECK(mean == Approx(1 / kRate).margin(5 * expected_cv / kRate / std::sqrt(kCount)));
    CHECK(sigma / mean == Approx(expected_cv).epsilon(0.05));
    const double distance =
        kolmogorov_distance(gaps_s, [&](double gap) { return incomplete_gamma(one.shape, gap * kRate * one.shape); });
    CHECK(distance < 1.63 / std::sqrt(kCount));  // the 99 % quantile
    // The test also detects a different distribution.
    CHECK(kolmogorov_distance(gaps_s, [&](double gap) { return incomplete_gamma(2, gap * kRate * 2); }) >
          1.63 / std::sqrt(kCount));
  }
}

}  // namespace
}  // namespace secondsource
