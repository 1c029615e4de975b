#pragma once
// Cells for a monitoring system: OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/), gauges only, in
// base units. docs/exports.md lists the metrics; their names are stable.
//
// A figure without credit is absent, never zero. Separate metrics tell how far the figures can be trusted: the verdict
// on the tokens, the status of the measurement, and whether its row is marked as suspect.

#include <span>
#include <string>

#include "core/result.h"
#include "history/history_cell.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// The present state, without timestamps. If several runs have a cell, the newest run counts. The text is also valid in
/// the older Prometheus format (0.0.4), which node_exporter and the Pushgateway read.
[[nodiscard]] std::string write_openmetrics(std::span<const SummarizedRun> runs);

/// Every run with its timestamp, for `promtool tsdb create-blocks-from openmetrics`. Errors: kInvalidInput for a run
/// whose start is not a valid time.
Result<std::string> write_openmetrics(std::span<const HistoryCell> cells);

}  // namespace secondsource
