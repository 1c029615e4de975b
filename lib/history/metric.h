#pragma once
// The quantities that a history stores of every cell, each in a column. To add one, append it to kMetrics; an export has
// it as a field of HistoryCell. A file that lacks its column gets it from History::open().

#include <optional>
#include <span>
#include <string_view>

#include "history/history_cell.h"
#include "record/records.h"

namespace secondsource {

struct HistoryMetric {
  const char* name;   ///< name of the column and argument of --metric
  const char* title;  ///< with the unit for display: "time to first token p50, ms"
  double per_unit;    ///< stored value x per_unit = value in the unit of the title
  bool larger_is_better;
  std::optional<double> (*value)(const CellSummary&);
  std::optional<double> HistoryCell::*exported;  ///< where an export has it, unscaled
};

[[nodiscard]] std::span<const HistoryMetric> history_metrics();
/// Returns nullptr for an unknown name.
[[nodiscard]] const HistoryMetric* find_history_metric(std::string_view name);

/// Converts the value to a quantity of which more is worse, as the statistics expect.
[[nodiscard]] double badness(const HistoryMetric& metric, double value);

}  // namespace secondsource
