#pragma once
// The tables of the scenario `swap`: several models that take turns on one device. Empty where no run has such a cell.

#include <span>
#include <string>
#include <vector>

#include "report/text_table.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// One row per cell: the budget and the resident set over time, loads and evictions, tokens/s with and without swapping, and
/// what was lost.
[[nodiscard]] TextTable swap_table(std::span<const SummarizedRun> runs);
/// One row per cell and model: its share of the requests, its memory, the time from the beginning of its load to the first
/// token, its loads and evictions, its tokens/s alone, and the cost of an hour in which it is resident.
[[nodiscard]] TextTable swap_models_table(std::span<const SummarizedRun> runs);
/// Why a start was not measured, one line per source and reason.
[[nodiscard]] std::vector<std::string> swap_lines(std::span<const SummarizedRun> runs);

}  // namespace secondsource
