#pragma once
// What a count of successes says about their probability.

#include <cstdint>

namespace secondsource {

/// One-sided 95 % bounds of a probability, exact for any n (Clopper and Pearson, Biometrika 26, 1934).
struct ProportionBounds {
  double low = 0;
  double high = 1;
};

/// `k` of `n` trials succeeded, 0 <= k <= n. None of 300 gives a high of 0.99 %: 1 - 0.05^(1/300).
[[nodiscard]] ProportionBounds proportion_bounds(std::int64_t k, std::int64_t n);

}  // namespace secondsource
