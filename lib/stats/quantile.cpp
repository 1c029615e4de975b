#include "stats/quantile.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"

namespace secondsource {
namespace {

constexpr double kTail = 0.05;

}  // namespace

double binomial_cdf(std::int64_t k, std::int64_t n, double p) {
  if (k < 0) return 0.0;
  if (k >= n || p <= 0.0) return 1.0;
  if (p >= 1.0) return 0.0;
  const double log_n_factorial = std::lgamma(static_cast<double>(n) + 1);
  double sum = 0.0;
  for (std::int64_t i = 0; i <= k; ++i) {
    const auto x = static_cast<double>(i);
    const auto rest = static_cast<double>(n - i);
    sum += std::exp(log_n_factorial - std::lgamma(x + 1) - std::lgamma(rest + 1) + x * std::log(p) +
                    rest * std::log1p(-p));
  }
  return std::min(sum, 1.0);
}

double quantile_of_sorted(std::span<const double> ascending, double q) {
  SS_CHECK(!ascending.empty(), "a quantile of nothing");
  const double position = q * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(position));
  const std::size_t above = std::min(below + 1, ascending.size() - 1);
  return ascending[below] + (position - std::floor(position)) * (ascending[above] - ascending[below]);
}

std::optional<double> median(std::span<const double> samples) {
  if (samples.empty()) return std::nullopt;
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  return quantile_of_sorted(sorted, 0.5);
}

std::optional<double> robust_sigma(std::span<const double> samples) {
  constexpr std::size_t kSmallest = 5;
  if (samples.size() < kSmallest) return std::nullopt;
  const double center = *median(samples);
  std::vector<double> deviations;
  deviations.reserve(samples.size());
  for (const double sample : samples) deviations.push_back(std::abs(sample - center));
  // 1 divided by the 0.75 quantile of the standard normal distribution.
  return 1.4826022185056018 * *median(deviations);
}

std::int64_t smallest_sample_for(double q) {
  const double worse = std::max(q, 1 - q);
  return static_cast<std::int64_t>(std::ceil(std::log(kTail) / std::log(worse) - 1e-9));
}

std::optional<double> supported_quantile_of_sorted(std::span<const double> ascending, double q) {
  if (static_cast<std::int64_t>(ascending.size()) < smallest_sample_for(q)) return std::nullopt;
  return quantile_of_sorted(ascending, q);
}

}  // namespace secondsource
