#pragma once
// Clocks: that of a server by the Dates of its responses, and how those of several clients of one server were related.

#include <span>
#include <string>
#include <vector>

#include "report/text_table.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// One row per repetition and client of merged runs: what was added to the client's times, the bound of the error of that, the
/// turns of the server's Date that it rests on, and the share of the client's window that all clients have in common. Empty
/// where no run was merged.
[[nodiscard]] TextTable client_table(std::span<const SummarizedRun> runs);

/// One line per served system of a run: by how much its clock is ahead of the machine's from which it was measured, as the
/// repetition with the closest bounds has it.
[[nodiscard]] std::vector<std::string> clock_lines(const SummarizedRun& run);

/// One line per client of a merged run: its machine and its run.
[[nodiscard]] std::vector<std::string> client_lines(const RunRecord& record);

}  // namespace secondsource
