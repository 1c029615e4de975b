#pragma once
// The statistics of docs/metrics.md, written down a second time by their definitions: sums of binomial probabilities
// term by term, where lib/stats uses the incomplete beta function.

#include <cstdint>
#include <optional>
#include <vector>

namespace secondsource::verify {

/// P(X <= k) for X ~ Binomial(n, p).
[[nodiscard]] double binomial_at_most(std::int64_t k, std::int64_t n, double p);

/// The q-quantile by linear interpolation between order statistics; nullopt for no values.
[[nodiscard]] std::optional<double> quantile(std::vector<double> values, double q);

struct Bounds {
  double low = 0;
  double high = 0;
};

/// Order statistics that lie below and above the q-quantile with 95 % confidence each; nullopt where no two do.
[[nodiscard]] std::optional<Bounds> quantile_bounds(std::vector<double> values, double q);

/// The probabilities of success for which at least, and at most, `k` successes of `n` have a chance of 5 %.
[[nodiscard]] Bounds share_bounds(std::int64_t k, std::int64_t n);

}  // namespace secondsource::verify
