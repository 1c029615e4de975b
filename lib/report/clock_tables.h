#pragma once
// Tables about clocks: a server's clock by the Dates of its responses, and how the clocks of several clients of one
// server were related.

#include <span>
#include <string>
#include <vector>

#include "report/text_table.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// One row per repetition and client of merged runs: the time that was added to the client's times, its error bound,
/// the number of changes of the server's Date on which it is based, and the share of the client's window that all
/// clients have in common. Empty if no run was merged.
[[nodiscard]] TextTable client_table(std::span<const SummarizedRun> runs);

/// One line per server of a run: how far its clock is ahead of the clock of the measuring machine, by the repetition
/// with the closest bounds.
[[nodiscard]] std::vector<std::string> clock_lines(const SummarizedRun& run);

/// One line per client of a merged run: its machine and its run.
[[nodiscard]] std::vector<std::string> client_lines(const RunRecord& record);

}  // namespace secondsource
