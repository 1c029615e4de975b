#pragma once
// The statistics of docs/metrics.md, written down a second time by their definitions: sums of binomial probabilities
// term by term and Student's t as a finite sum of cosines (Abramowitz and Stegun 26.7.3 and 26.7.4), where lib/stats uses
// the incomplete beta function.

#include <cstdint>
#include <optional>
#include <vector>

namespace secondsource::verify {

struct Bounds {
  double low = 0;
  double high = 0;
};

/// P(X <= k) for X ~ Binomial(n, p).
[[nodiscard]] double binomial_at_most(std::int64_t k, std::int64_t n, double p);

/// The q-quantile by linear interpolation between order statistics; nullopt for no values.
[[nodiscard]] std::optional<double> quantile(std::vector<double> values, double q);

/// True if, with 95 % confidence each, some value of `n` lies below the q-quantile and some above it.
[[nodiscard]] bool supports_quantile(std::int64_t n, double q);

/// P(-t <= T <= t) for Student's t with a whole number of degrees of freedom.
[[nodiscard]] double student_t_within(double t, std::int64_t degrees);

/// The bounds within which the figure of a rerun lies with 95 % confidence, by the values of the repetitions in their
/// order. nullopt for fewer than three values, or if one is not positive and not all are equal.
[[nodiscard]] std::optional<Bounds> rerun_bounds(double figure, const std::vector<double>& by_repetition);

/// The probabilities of success for which at least, and at most, `k` successes of `n` have a chance of 5 %.
[[nodiscard]] Bounds share_bounds(std::int64_t k, std::int64_t n);

}  // namespace secondsource::verify
