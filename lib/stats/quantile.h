#pragma once
// Percentiles that are not given when the sample is too small for them. No distribution is assumed anywhere.

#include <cstdint>
#include <optional>
#include <span>

namespace secondsource {

/// P(X <= k) for X ~ Binomial(n, p); the terms are computed through logarithms and summed exactly. n >= 0, 0 <= p <= 1.
[[nodiscard]] double binomial_cdf(std::int64_t k, std::int64_t n, double p);

/// The q-quantile of an ascending sample by linear interpolation of the order statistics (Hyndman and Fan 1996, type
/// 7). The sample must not be empty.
[[nodiscard]] double quantile_of_sorted(std::span<const double> ascending, double q);

/// The median; the sample need not be sorted. nullopt when empty.
[[nodiscard]] std::optional<double> median(std::span<const double> samples);

/// Median absolute deviation times 1.4826, which equals the standard deviation for a normal sample; nullopt below five
/// samples, where a spread is meaningless.
[[nodiscard]] std::optional<double> robust_sigma(std::span<const double> samples);

/// The smallest sample in which, with 95 % confidence each, one value lies below the quantile and one above it (David and
/// Nagaraja, Order Statistics, 2003, section 7.1): 5 for q = 0.5, 29 for 0.9, 59 for 0.95, 299 for 0.99.
[[nodiscard]] std::int64_t smallest_sample_for(double q);

/// The q-quantile of an ascending sample; nullopt when it is smaller than smallest_sample_for(q).
[[nodiscard]] std::optional<double> supported_quantile_of_sorted(std::span<const double> ascending, double q);

}  // namespace secondsource
