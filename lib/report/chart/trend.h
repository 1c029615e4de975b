#pragma once
// One quantity over runs: a point a run, the levels between change points, and the anchor that was pinned. Long series
// are drawn as the range and the middle of each pixel's runs; the changes stay where they are.

#include <cstddef>
#include <optional>
#include <span>

#include "report/chart/chart.h"

namespace secondsource {

struct TrendPoint {
  std::string label{};  ///< "2026-11-20, commit 0123abcd, run 4567"
  double value = 0;
  bool is_pinned = false;
};

/// From `index` on the series has another level.
struct TrendChange {
  std::size_t index = 0;
  double change_percent = 0;  ///< of the level as drawn
  bool is_worse = false;
};

/// Points are set at equal distances, oldest left. `unit`: of the values, as the axis names it.
[[nodiscard]] Chart trend_chart(std::string title, std::string_view unit, std::span<const TrendPoint> points,
                                std::span<const TrendChange> changes);

}  // namespace secondsource
