#pragma once
// Finds where a series changed its level, with E-divisive means (Matteson and James, arXiv:1306.4933) in the
// deterministic form of "Hunter: Using Change Point Detection to Hunt for Performance Regressions" (ICPE 2023,
// doi:10.1145/3578244.3583719; the project is called Apache Otava today). Windows that overlap by half are divided
// repeatedly at the point that separates them most, as long as Student's t-test finds the two sides different at ten
// times the wanted level. Then the weakest points are removed one by one until every remaining point is significant
// against its neighbours at the wanted level.
//
// Unlike Otava 0.8.0, the t-test here divides the sum of squares by n - 1, as Student did.

#include <cstddef>
#include <span>
#include <vector>

namespace secondsource {

struct ChangePointRule {
  std::size_t window = 50;  ///< number of points of the series that are examined together; at least 4
  double max_p = 0.001;     ///< largest two-sided p of the t-test between the stretches on both sides
  /// Fewest points of a level; with more than one, a single outlier does not count as a level.
  std::size_t min_stretch = 1;
  double min_difference = 0.0;  ///< smallest difference of the two means that is reported
};

struct ChangePoint {
  std::size_t index = 0;  ///< the first point of the new level
  double before = 0;      ///< mean of the stretch from the previous change point to this one
  double after = 0;       ///< mean of the stretch from this change point to the next
  double p = 1;           ///< p-value of the t-test between the two stretches
};

/// The change points in order. Empty for a series of fewer than three points.
[[nodiscard]] std::vector<ChangePoint> find_change_points(std::span<const double> series, const ChangePointRule& rule);

}  // namespace secondsource
