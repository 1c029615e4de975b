#pragma once
// Charts of runs over time: one quantity of a cell, with the points at which its level changed.

#include <string>
#include <vector>

#include "core/result.h"
#include "history/history.h"
#include "report/chart/chart.h"

namespace secondsource {

/// Draws the series with its change points. A positive change means that the drawn quantity grew. The title says so where the
/// variant is outside the limits of its quality.
[[nodiscard]] Chart trend_chart_of(const CellHistory& history, const HistoryMetric& metric);

/// Renders an HTML page with the trend of each of `cells` (ids) in one metric. Errors: those of the database.
Result<std::string> history_page(History& history, const std::string& branch, const std::vector<std::string>& cells,
                                 const HistoryMetric& metric);

}  // namespace secondsource
