#pragma once
// The first screen of a report: whether the tokens are right, whether the measurement is complete, and the best figures
// of each backend.

#include <span>
#include <string>
#include <vector>

#include "gate/gate_record.h"
#include "report/page.h"
#include "summary/summarized_run.h"

namespace secondsource {

struct VerdictLine {
  Tone tone = Tone::kUnsure;
  std::string text{};
};

/// One line each for the gate's decision (if there is a gate), the tokens, the cells, and the disturbances. If the
/// machine was too disturbed to tell anything, that line comes first.
[[nodiscard]] std::vector<VerdictLine> verdict_lines(std::span<const SummarizedRun> runs, const GateReport* gate);

/// One row per bundle, backend and variant: the verdict on its tokens, the number of complete cells, and the best
/// figures among its scenarios.
[[nodiscard]] TextTable overview_table(std::span<const SummarizedRun> runs);

}  // namespace secondsource
