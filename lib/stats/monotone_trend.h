#pragma once
// Tests whether a series goes up or down. It assumes no shape of the trend and no distribution.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace secondsource {

struct MonotoneTrend {
  double p = 1;          ///< two-sided p-value of the hypothesis of no trend (Mann, Econometrica 13, 1945; Kendall)
  double slope = 0;      ///< the median of the slopes between all pairs of points (Sen, JASA 63, 1968), per unit of x
  double intercept = 0;  ///< median(y) - slope * median(x)
  [[nodiscard]] double at(double x) const { return intercept + slope * x; }
};

/// The trend of y over ascending x. A pair of points with equal x or equal y counts neither as rising nor as falling.
/// The p-value is the normal approximation with the corrections for ties and for continuity, which is good from eight
/// points on; nullopt for fewer points.
[[nodiscard]] std::optional<MonotoneTrend> monotone_trend(std::span<const double> x, std::span<const double> y);

/// Medians of `n_groups` consecutive groups of (nearly) equal size; the values themselves when there are fewer values
/// than groups.
[[nodiscard]] std::vector<double> medians_of_groups(std::span<const double> values, std::size_t n_groups);

}  // namespace secondsource
