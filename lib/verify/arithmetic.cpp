#include "verify/arithmetic.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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

bool supports_quantile(std::int64_t n, double q) {
  const auto count = static_cast<double>(n);
  // The probabilities that all values lie on one side of the quantile.
  return n > 0 && std::pow(q, count) <= kDoubt && std::pow(1 - q, count) <= kDoubt;
}

double student_t_within(double t, std::int64_t degrees) {
  const double angle = std::atan(t / std::sqrt(static_cast<double>(degrees)));
  const double cosine = std::cos(angle);
  // Terms c, 2/3 c^3, 2*4/(3*5) c^5, ... for odd degrees, and 1, 1/2 c^2, 1*3/(2*4) c^4, ... for even ones.
  const bool is_odd = degrees % 2 == 1;
  double term = is_odd ? cosine : 1;
  double sum = 0;
  for (std::int64_t k = is_odd ? 1 : 0; k <= degrees - 2; k += 2) {
    sum += term;
    term *= static_cast<double>(k + 1) / static_cast<double>(k + 2) * cosine * cosine;
  }
  sum *= std::sin(angle);
  return is_odd ? 2 / std::numbers::pi * (angle + sum) : sum;
}

std::optional<Bounds> rerun_bounds(double figure, const std::vector<double>& by_repetition) {
  const auto n = static_cast<std::int64_t>(by_repetition.size());
  if (n < 3) return std::nullopt;
  const auto [smallest, largest] = std::minmax_element(by_repetition.begin(), by_repetition.end());
  if (*smallest == *largest) return Bounds{figure, figure};
  if (!(*smallest > 0)) return std::nullopt;
  const auto count = static_cast<double>(n);
  long double sum = 0, sum_of_squares = 0, steps = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    // Each value is divided by the first one, so that the squares lose no digits.
    const auto at = [&](std::int64_t k) {
      return std::log(static_cast<long double>(by_repetition[static_cast<std::size_t>(k)]) / by_repetition.front());
    };
    sum += at(i);
    sum_of_squares += at(i) * at(i);
    if (i > 0) steps += (at(i) - at(i - 1)) * (at(i) - at(i - 1));
  }
  const auto squares = static_cast<double>(sum_of_squares - sum * sum / n);
  if (!(squares > 0)) return Bounds{figure, figure};
  // The correlation of neighbours by von Neumann's ratio, plus 1.4 standard errors.
  double phi = 1 - static_cast<double>(steps) / squares / 2 + 1.4 / std::sqrt(count);
  phi = std::min(std::max(phi, 0.0), 0.8);
  // The sum over all pairs of phi^distance, divided by n, as a closed form.
  const double ratio = (1 + phi) / (1 - phi) - 2 * phi * (1 - std::pow(phi, count)) / (count * (1 - phi) * (1 - phi));
  double t_low = 0;
  double t_high = 1e4;
  for (int i = 0; i < 100; ++i) {
    const double middle = (t_low + t_high) / 2;
    (student_t_within(middle, n - 1) < 0.95 ? t_low : t_high) = middle;
  }
  const double variance_of_mean = squares / count * ratio / (count - ratio);
  const double factor = std::exp(t_low * std::sqrt(2 * variance_of_mean));
  const Bounds bounds{figure / factor, figure * factor};
  if (!std::isfinite(bounds.high) || !(bounds.low > 0)) return std::nullopt;
  return bounds;
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
