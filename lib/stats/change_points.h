#pragma once
// Where a series changed its level: E-divisive means (Matteson and James, arXiv:1306.4933) as "Hunter: Using Change
// Point Detection to Hunt for Performance Regressions" (ICPE 2023, doi:10.1145/3578244.3583719; now Apache Otava) makes
// it deterministic. Windows that overlap by half are divided again and again at the point that separates them most, for
// as long as Student's t-test calls the two sides different at ten times the wanted level; then the weakest points are
// taken out, one by one, until each of those left stands against its neighbours at the wanted level.
//
// Unlike Otava 0.8.0, the t-test here divides the squares by n - 1, as Student did.

#include <cstddef>
#include <span>
#include <vector>

namespace secondsource {

struct ChangePointRule {
  std::size_t window = 50;      ///< points of a series that are looked at together; at least 4
  double max_p = 0.001;         ///< two-sided, of the t-test between the stretches on both sides
  std::size_t min_stretch = 1;  ///< points of a level; with more than one, a single outlier is not a level of its own
  double min_difference = 0.0;  ///< of their means; a smaller change is not reported
};

struct ChangePoint {
  std::size_t index = 0;  ///< the first point of the new level
  double before = 0;      ///< mean of the stretch up to here, from the change point before it
  double after = 0;       ///< mean of the stretch from here to the next change point
  double p = 1;           ///< of the t-test between the two
};

/// In order. Empty for series of fewer than three points.
[[nodiscard]] std::vector<ChangePoint> find_change_points(std::span<const double> series, const ChangePointRule& rule);

}  // namespace secondsource
