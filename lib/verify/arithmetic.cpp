#include "verify/arithmetic.h"

#include <algorithm>
#include <cmath>

namespace secondsource::verify {
namespace {

constexpr double kDoubt = 0.05;

/// Calls visit(k, P(X <= k)) for k = 0, 1, ... until it returns false.
template <typename Visit>
void visit_binomial(std::int64_t n, double p, const Visit& visit) {
  const long double log_odds = std::log(static_cast<long double>(p)) - std::log1p(-static_cast<long double>(p));
  long double log_term = static_cast<long double>(n) * std::log1p(-static_cast<long double>(p));
  long double sum = 0;
  for (std::int64_t k = 0; k <= n; ++k) {
    sum += std::exp(log_term);
    if (!visit(k, static_cast<double>(std::min(sum, 1.0L)))) return;
    log_term += std::log(static_cast<long double>(n - k)) - std::log(static_cast<long double>(k + 1)) + log_odds;
  }
}

}  // namespace

double binomial_at_most(std::int64_t k, std::int64_t n, double p) {
  if (k < 0) return 0;
  if (k >= n || p <= 0) return 1;
  if (p >= 1) return 0;
  double result = 0;
  visit_binomial(n, p, [&](std::int64_t at, double sum) {
    result = sum;
    return at < k;
  });
  return result;
}

std::optional<double> quantile(std::vector<double> values, double q) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const double last = static_cast<double>(values.size()) - 1;
  const double place = last * q;
  const double below = values[static_cast<std::size_t>(place)];
  const double above = values[static_cast<std::size_t>(std::min(std::floor(place) + 1, last))];
  return below * (1 - std::fmod(place, 1.0)) + above * std::fmod(place, 1.0);
}

std::optional<Bounds> quantile_bounds(std::vector<double> values, double q) {
  const auto n = static_cast<std::int64_t>(values.size());
  const auto count = static_cast<double>(n);
  // All values lie on one side of the quantile with these chances.
  if (n == 0 || std::pow(q, count) > kDoubt || std::pow(1 - q, count) > kDoubt) return std::nullopt;
  std::sort(values.begin(), values.end());
  // The number of values below the quantile is Binomial(n, q). The value of rank k + 1 is above the quantile if at most k
  // values are below it.
  std::int64_t low = 1;
  std::int64_t high = n;
  visit_binomial(n, q, [&](std::int64_t k, double at_most_k) {
    if (at_most_k <= kDoubt) low = k + 1;
    if (at_most_k >= 1 - kDoubt) high = std::min(high, k + 1);
    return at_most_k < 1 - kDoubt;
  });
  return Bounds{values[static_cast<std::size_t>(low - 1)], values[static_cast<std::size_t>(high - 1)]};
}

Bounds share_bounds(std::int64_t k, std::int64_t n) {
  const auto solve = [](const auto& is_below) {
    double low = 0;
    double high = 1;
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2;
      (is_below(middle) ? low : high) = middle;
    }
    return (low + high) / 2;
  };
  Bounds bounds{0, 1};
  if (k > 0) bounds.low = solve([&](double p) { return 1 - binomial_at_most(k - 1, n, p) < kDoubt; });
  if (k < n) bounds.high = solve([&](double p) { return binomial_at_most(k, n, p) > kDoubt; });
  return bounds;
}

}  // namespace secondsource::verify
