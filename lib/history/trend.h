#pragma once
// What a history says: where a cell's level changed, as a chart, and whether the newest runs are worse than the anchor
// that was pinned, as a gate's report. The statistics are lib/gate's (gate/trend.h).

#include <cstdint>
#include <string>
#include <vector>

#include "gate/rule.h"
#include "history/history.h"
#include "report/chart/chart.h"
#include "report/gate_record.h"

namespace secondsource {

/// With the change points of the series; positive changes are those of the quantity as it is drawn.
[[nodiscard]] Chart trend_chart_of(const CellHistory& history, const HistoryMetric& metric);

/// A page of the trends of `cells` (ids; empty: those of the branch's newest run), one metric.
Result<std::string> history_page(History& history, const std::string& branch, const std::vector<std::string>& cells,
                                 const HistoryMetric& metric);

struct AnchorOptions {
  std::string branch{};
  std::int64_t n_recent = 10;  ///< newest runs, without the pinned ones
  GateRule rule{};
};

/// Cost and TTFT of the newest runs against those of the pinned ones, for every cell of the branch's newest run. Cells
/// that cannot be compared (fewer than kAnchorNights runs on a side, another setup) are in `not_comparable`.
Result<GateReport> compare_with_pinned(History& history, const AnchorOptions& options);

}  // namespace secondsource
