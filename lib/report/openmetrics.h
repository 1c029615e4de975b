#pragma once
// Cells for a monitoring system: OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/), gauges only, in
// base units. docs/exports.md lists the metrics; their names are stable.
//
// A figure without credit is absent, never zero. Separate metrics tell how far the figures can be trusted: the verdict
// on the tokens, the status of the measurement, and whether its row is marked as suspect.

#include <set>
#include <span>
#include <string>

#include "history/history_cell.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// The present state, without timestamps. If several runs have a cell, the newest run counts. The text is also valid in
/// the older Prometheus format (0.0.4), which node_exporter and the Pushgateway read.
[[nodiscard]] std::string write_openmetrics(std::span<const SummarizedRun> runs);

/// Every run with its timestamp, for `promtool tsdb create-blocks-from openmetrics`. Runs whose start is no valid time
/// cannot be exported; their ids are added to `left_out`.
[[nodiscard]] std::string write_openmetrics(std::span<const HistoryCell> cells, std::set<std::string>& left_out);

}  // namespace secondsource
