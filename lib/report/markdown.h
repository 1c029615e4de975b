#pragma once
// Markdown for a pull request or a step summary.

#include <optional>
#include <span>
#include <string>

#include "report/gate_record.h"
#include "report/stored_run.h"

namespace secondsource {

/// The verdict first, then the results, the golden counts, and the notes.
[[nodiscard]] std::string write_markdown(std::span<const SummarizedRun> runs, const GateReport* gate);

}  // namespace secondsource
