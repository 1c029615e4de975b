#include "stats/proportion.h"

#include "stats/distribution.h"

namespace secondsource {
namespace {

constexpr double kMissed = 0.05;

/// The p with P(X <= k) = 5 % for X ~ Binomial(n, p), by bisection of P(X <= k) = I_{1-p}(n - k, k + 1).
double high_of(std::int64_t k, std::int64_t n) {
  if (k >= n) return 1;
  double low = 0;
  double high = 1;
  while (high - low > 1e-12) {
    const double middle = 0.5 * (low + high);
    const double at_most_k = regularized_beta(static_cast<double>(n - k), static_cast<double>(k + 1), 1 - middle);
    (at_most_k > kMissed ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

}  // namespace

ProportionBounds proportion_bounds(std::int64_t k, std::int64_t n) {
  return {1 - high_of(n - k, n), high_of(k, n)};
}

}  // namespace secondsource
