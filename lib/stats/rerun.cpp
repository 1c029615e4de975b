#include "stats/rerun.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "stats/distribution.h"

namespace secondsource {
namespace {

constexpr double kRerunTail = 0.025;
constexpr double kStandardErrors = 1.4;  ///< added to the correlation: its one-sided 92 % upper bound
constexpr double kLargestCorrelation = 0.8;

/// 1 + 2 sum (1 - k/n) phi^k: the variance of the mean of n correlated values / that of n independent ones.
double variance_ratio(std::int64_t n, double phi) {
  double sum = 0;
  double power = 1;
  for (std::int64_t k = 1; k < n; ++k) {
    power *= phi;
    sum += (1 - static_cast<double>(k) / static_cast<double>(n)) * power;
  }
  return 1 + 2 * sum;
}

/// The variance of the mean of the values.
double variance_of_mean(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  double successive = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    squares += (values[i] - mean) * (values[i] - mean);
    if (i > 0) successive += (values[i] - values[i - 1]) * (values[i] - values[i - 1]);
  }
  if (squares == 0) return 0;
  const double phi =
      std::clamp(1 - successive / (2 * squares) + kStandardErrors / std::sqrt(n), 0.0, kLargestCorrelation);
  const double ratio = variance_ratio(static_cast<std::int64_t>(values.size()), phi);
  return squares / n * ratio / (n - ratio);
}

}  // namespace

std::optional<RerunBounds> rerun_bounds(double figure, std::span<const double> by_repetition) {
  if (static_cast<std::int64_t>(by_repetition.size()) < kFewestRepetitions) return std::nullopt;
  if (std::ranges::adjacent_find(by_repetition, std::not_equal_to<>()) == by_repetition.end()) {
    return RerunBounds{figure, figure};
  }
  std::vector<double> logarithms;
  for (const double value : by_repetition) {
    if (!(value > 0)) return std::nullopt;
    logarithms.push_back(std::log(value));
  }
  const double t = student_t_quantile(1 - kRerunTail, static_cast<double>(by_repetition.size()) - 1);
  const double distance = t * std::sqrt(2 * variance_of_mean(logarithms));
  const RerunBounds bounds{figure * std::exp(-distance), figure * std::exp(distance)};
  if (!(bounds.low > 0) || !std::isfinite(bounds.high)) return std::nullopt;
  return bounds;
}

}  // namespace secondsource
