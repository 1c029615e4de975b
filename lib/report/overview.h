#pragma once
// The first screen of a report: are the tokens right, is the measurement whole, and what does each backend do at best.

#include <span>
#include <string>
#include <vector>

#include "report/gate_record.h"
#include "report/page.h"
#include "report/stored_run.h"

namespace secondsource {

struct VerdictLine {
  Tone tone = Tone::kUnsure;
  std::string text{};
};

/// The gate's decision (where there is one), the tokens, the cells: a line each.
[[nodiscard]] std::vector<VerdictLine> verdict_lines(std::span<const SummarizedRun> runs, const GateReport* gate);

/// bundle x backend x variant -> the verdict on its tokens, how many cells are complete, and the best figure of any of
/// its scenarios.
[[nodiscard]] TextTable overview_table(std::span<const SummarizedRun> runs);

}  // namespace secondsource
