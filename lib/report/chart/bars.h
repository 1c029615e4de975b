#pragma once
// Horizontal bars that start at zero, so that their lengths are proportional to the values. Each bar has its figure,
// and either an interval, if known, or stacked parts.

#include <optional>
#include <span>

#include "report/chart/chart.h"

namespace secondsource {

struct Bar {
  std::string label{};
  double value = 0;
  std::optional<double> low{}, high{};
  SeriesLook look{};
};

/// `unit` labels the axis and the table, like "$ per 1K output tokens".
[[nodiscard]] Chart bar_chart(std::string title, std::string_view unit, std::span<const Bar> bars);

struct StackedBar {
  std::string label{};
  std::vector<double> parts{};
  double total = 0;  ///< marked by a line if it is more than the sum of the parts
};

[[nodiscard]] Chart stack_chart(std::string title, std::string_view unit, std::span<const std::string> part_names,
                                std::string_view total_name, std::span<const StackedBar> bars);

}  // namespace secondsource
