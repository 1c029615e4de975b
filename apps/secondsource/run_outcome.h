#pragma once
// Derives the exit statuses of a finished run, and writes the text or JSON that `run` prints.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "exit_status.h"
#include "gate/compare.h"
#include "runner/run_health.h"
#include "summary/summarized_run.h"

namespace secondsource {

struct RunOutcome {
  RunHealth health;
  std::optional<GateReport> gate;    ///< of a run with a baseline
  std::vector<ExitStatus> statuses;  ///< everything that is wrong; empty if nothing is
};

/// Adds the statuses that follow from the state of the run and from the gate's report.
[[nodiscard]] RunOutcome outcome_of(RunHealth health, std::optional<GateReport> gate, bool allow_inconclusive);

/// The tables, notes and verdict of a run in `folder`, for a terminal.
[[nodiscard]] std::string text_of(const SummarizedRun& run, const RunOutcome& outcome,
                                  const std::filesystem::path& folder);

/// The same as JSON, with the whole summary.
[[nodiscard]] std::string json_of(const SummarizedRun& run, const RunOutcome& outcome,
                                  const std::filesystem::path& folder);

}  // namespace secondsource
