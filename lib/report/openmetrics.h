#pragma once
// Cells for a monitoring system: OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/), gauges only, in
// base units. docs/exports.md lists the metrics; their names are stable.
//
// A figure without credit is absent, never zero. What the figures are worth is a metric of its own: the verdict on the
// tokens, the status of the measurement, and whether its row is marked as suspect.

#include <span>
#include <string>

#include "core/result.h"
#include "history/history_cell.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// The present state, without times. Of a cell that several runs have, the newest run counts. The text is valid in the
/// older Prometheus format (0.0.4), too, which node_exporter and the Pushgateway read.
[[nodiscard]] std::string write_openmetrics(std::span<const SummarizedRun> runs);

/// Every run at its time, as `promtool tsdb create-blocks-from openmetrics` takes it in. Errors: kInvalidInput for a run
/// whose start is no time.
Result<std::string> write_openmetrics(std::span<const HistoryCell> cells);

}  // namespace secondsource
