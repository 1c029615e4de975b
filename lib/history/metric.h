#pragma once
// What a history keeps of every cell: a column each. To add one, add it to kMetrics at the end and raise the schema
// version with an ALTER TABLE in history.cpp.

#include <optional>
#include <span>
#include <string_view>

#include "report/records.h"

namespace secondsource {

struct HistoryMetric {
  const char* name;   ///< column, and what --metric takes
  const char* title;  ///< with the unit in which people read it: "time to first token p50, ms"
  double per_unit;    ///< stored value x per_unit = value in that unit
  bool larger_is_better;
  std::optional<double> (*value)(const CellSummary&);
};

[[nodiscard]] std::span<const HistoryMetric> history_metrics();
/// nullptr for any other name.
[[nodiscard]] const HistoryMetric* find_history_metric(std::string_view name);

}  // namespace secondsource
