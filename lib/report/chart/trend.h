#pragma once
// One quantity over runs: one point per run, the levels between change points, and the pinned anchor. A long series is
// drawn as the range and median of the runs in each pixel column; change points keep their positions.

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

/// A change of level: from `index` on, the series has another level.
struct TrendChange {
  std::size_t index = 0;
  double change_percent = 0;  ///< of the drawn level
  bool is_worse = false;
};

/// Points are equally spaced, the oldest at the left. `unit` is the unit of the values, as shown at the axis.
[[nodiscard]] Chart trend_chart(std::string title, std::string_view unit, std::span<const TrendPoint> points,
                                std::span<const TrendChange> changes);

}  // namespace secondsource
