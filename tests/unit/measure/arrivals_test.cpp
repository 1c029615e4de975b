#include "measure/arrivals.h"

#include <algorithm>
#include <cmath>

#include "support/catch.h"

namespace secondsource {
namespace {

TEST_CASE("arrivals are a function of the seed, and a longer run begins with the shorter one") {
  const auto few = arrival_offsets_ns({.rate_per_s = 10, .n_requests = 50, .seed = 7});
  const auto many = arrival_offsets_ns({.rate_per_s = 10, .n_requests = 100, .seed = 7});
  CHECK(std::equal(few.begin(), few.end(), many.begin()));
  CHECK(few != arrival_offsets_ns({.rate_per_s = 10, .n_requests = 50, .seed = 8}));
  CHECK(std::is_sorted(many.begin(), many.end()));
}

TEST_CASE("arrivals are a Poisson process: gaps are exponential with mean 1/rate") {
  constexpr std::int32_t kCount = 20'000;
  constexpr double kRate = 25.0;
  const auto offsets = arrival_offsets_ns({.rate_per_s = kRate, .n_requests = kCount, .seed = 3});
  std::vector<double> gaps_s;
  std::int64_t before = 0;
  for (const std::int64_t at : offsets) {
    gaps_s.push_back(1e-9 * static_cast<double>(at - before));
    before = at;
  }
  double sum = 0;
  double squares = 0;
  for (const double gap : gaps_s) {
    sum += gap;
    squares += gap * gap;
  }
  const double mean = sum / kCount;
  const double variance = squares / kCount - mean * mean;
  // Five standard errors of the mean (1/rate/sqrt(n)); the variance of an exponential is the square of its mean.
  CHECK(mean == Approx(1 / kRate).margin(5 / kRate / std::sqrt(kCount)));
  CHECK(variance == Approx(1 / kRate / kRate).epsilon(0.1));
  // Kolmogorov-Smirnov against 1 - exp(-rate x): 1.63 / sqrt(n) is its 99 % point.
  std::sort(gaps_s.begin(), gaps_s.end());
  double distance = 0;
  for (std::size_t index = 0; index < gaps_s.size(); ++index) {
    const double expected = 1 - std::exp(-kRate * gaps_s[index]);
    distance = std::max(distance, std::abs(expected - static_cast<double>(index) / kCount));
  }
  CHECK(distance < 1.63 / std::sqrt(kCount));
}

}  // namespace
}  // namespace secondsource
