#pragma once
// Bounds on a probability from a count of successes.

#include <cstdint>

namespace secondsource {

/// One-sided 95 % bounds, exact for any n (Clopper and Pearson, Biometrika 26, 1934); both hold with 90 % confidence.
struct ProportionBounds {
  double low = 0;
  double high = 1;
};

/// The bounds after `k` of `n` trials succeeded, 0 <= k <= n. With 0 of 300, `high` is 0.99 %: 1 - 0.05^(1/300).
[[nodiscard]] ProportionBounds proportion_bounds(std::int64_t k, std::int64_t n);

}  // namespace secondsource
