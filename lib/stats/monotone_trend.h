#pragma once
// Does a series go up or down? No shape and no distribution is assumed.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace secondsource {

struct MonotoneTrend {
  double p = 1;          ///< two-sided, of the series going neither up nor down (Mann, Econometrica 13, 1945; Kendall)
  double slope = 0;      ///< the median of all slopes between two points (Sen, JASA 63, 1968), per unit of x
  double intercept = 0;  ///< median(y) - slope * median(x)
  [[nodiscard]] double at(double x) const { return intercept + slope * x; }
};

/// Of y over ascending x, pairs that are equal in either counted as neither. The normal approximation with the
/// correction for ties and for continuity, good from eight points on; nullopt below.
[[nodiscard]] std::optional<MonotoneTrend> monotone_trend(std::span<const double> x, std::span<const double> y);

/// Medians of `n_groups` consecutive groups of (nearly) equal size; the values themselves when there are fewer.
[[nodiscard]] std::vector<double> medians_of_groups(std::span<const double> values, std::size_t n_groups);

}  // namespace secondsource
