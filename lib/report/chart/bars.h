#pragma once
// Horizontal bars from zero: honest lengths, one below the other, each with its figure; with an interval where there is
// one, or in parts that are stacked.

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

/// `unit` stands at the axis and in the table: "$ per 1K output tokens". `table_columns`: of the label and the value.
[[nodiscard]] Chart bar_chart(std::string title, std::string_view unit, std::span<const Bar> bars);

struct StackedBar {
  std::string label{};
  std::vector<double> parts{};
  double total = 0;  ///< marked by a line where it is more than the sum of the parts
};

[[nodiscard]] Chart stack_chart(std::string title, std::string_view unit, std::span<const std::string> part_names,
                                std::string_view total_name, std::span<const StackedBar> bars);

}  // namespace secondsource
