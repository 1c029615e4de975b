#pragma once
// What stands beside the results, a row a cell that has credit: latencies in full, what limits a cell, and what became
// of a load.

#include <span>
#include <string>
#include <vector>

#include "report/stored_run.h"
#include "report/text_table.h"

namespace secondsource {

/// Lengths as they were; TTFT from the scheduled arrival at p50, p95 and p99, from the actual start, to visible text
/// and in the kernels; TPOT and ITL. Each with the distance to its order-statistic bounds, or "-" where the sample
/// supports none.
[[nodiscard]] TextTable latency_table(std::span<const SummarizedRun> runs);

/// Cost beside the tail, the device's utilisation, the shares of the machine's limits, which of them binds, and what a
/// shape costs that was never seen.
[[nodiscard]] TextTable bound_table(std::span<const SummarizedRun> runs);
/// What follows from each label in that table, a line a label.
[[nodiscard]] std::vector<std::string> bound_lines(std::span<const SummarizedRun> runs);

/// Rates asked for and sent, SLO attainment, goodput and prefix hits, of cells that have any of them.
[[nodiscard]] TextTable load_table(std::span<const SummarizedRun> runs);

}  // namespace secondsource
