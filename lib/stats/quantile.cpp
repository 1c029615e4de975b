#include "stats/quantile.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "stats/distribution.h"

namespace secondsource {
namespace {

constexpr double kTail = 0.05;

/// P(X <= k) for X ~ Binomial(n, p) (Abramowitz and Stegun 26.5.24). Takes about sqrt(n) terms where binomial_cdf()
/// takes n. Its absolute error is 1e-12, which is good enough for a comparison with kTail but not for small tails.
double binomial_at_most(std::int64_t k, std::int64_t n, double p) {
  if (k < 0) return 0.0;
  if (k >= n) return 1.0;
  return regularized_beta(static_cast<double>(n - k), static_cast<double>(k + 1), 1 - p);
}

/// The first rank in [low, high] for which `holds` is true. `holds` must be false up to some rank and true from there
/// on.
template <typename Holds>
std::int64_t first_rank(std::int64_t low, std::int64_t high, const Holds& holds) {
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (holds(middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

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

std::optional<QuantileEstimate> estimate_quantile_of_sorted(std::span<const double> ascending, double q) {
  const auto n = static_cast<std::int64_t>(ascending.size());
  if (n < smallest_sample_for(q)) return std::nullopt;
  // The number B of samples below the true quantile is Binomial(n, q). The order statistic X_(r), counted from 1,
  // exceeds the quantile with probability P(B <= r - 1), and lies at or below it with probability P(B >= r).
  const std::int64_t high_rank =
      first_rank(1, n, [&](std::int64_t rank) { return binomial_at_most(rank - 1, n, q) >= 1 - kTail; });
  const std::int64_t low_rank =
      first_rank(1, n, [&](std::int64_t rank) { return binomial_at_most(rank, n, q) > kTail; });
  return QuantileEstimate{quantile_of_sorted(ascending, q), ascending[static_cast<std::size_t>(low_rank - 1)],
                          ascending[static_cast<std::size_t>(high_rank - 1)]};
}

std::optional<QuantileEstimate> estimate_quantile(std::vector<double> samples, double q) {
  std::sort(samples.begin(), samples.end());
  return estimate_quantile_of_sorted(samples, q);
}

}  // namespace secondsource
