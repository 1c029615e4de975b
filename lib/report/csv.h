#pragma once
// Every figure of every cell as CSV by RFC 4180, one row per cell. Unknown figures and those of cells without credit
// (has_credit()) are empty fields.

#include <span>
#include <string>

#include "history/history_cell.h"
#include "summary/summarized_run.h"

namespace secondsource {

[[nodiscard]] std::string write_csv(std::span<const SummarizedRun> runs);

/// A history likewise, with the fields of HistoryCell as columns.
[[nodiscard]] std::string write_csv(std::span<const HistoryCell> cells);

}  // namespace secondsource
