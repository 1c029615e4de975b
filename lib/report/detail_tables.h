#pragma once
// The tables beside the results, one row per cell that has credit: all latencies, what limits a cell, and the outcome
// of a load.

#include <span>
#include <string>
#include <vector>

#include "report/text_table.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// Measured lengths; TTFT from the scheduled arrival at p50, p95 and p99, from the actual start, to visible text and in
/// the kernels; TPOT and ITL. Each latency has the distance to its order-statistic bounds, or "-" where the sample is
/// too small for bounds.
[[nodiscard]] TextTable latency_table(std::span<const SummarizedRun> runs);

/// Cost beside the tail latency, the device's utilisation, the shares of the machine's limits, the limit that binds,
/// and the one-time costs: load, compile, and first against settled time.
[[nodiscard]] TextTable bound_table(std::span<const SummarizedRun> runs);
/// Explains the labels that occur in bound_table(), one line per label.
[[nodiscard]] std::vector<std::string> bound_lines(std::span<const SummarizedRun> runs);

/// Requested and sent rates, SLO attainment, goodput and prefix hits of the cells that have any of them.
[[nodiscard]] TextTable load_table(std::span<const SummarizedRun> runs);

}  // namespace secondsource
