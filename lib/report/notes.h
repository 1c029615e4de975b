#pragma once
// The notes below the tables of a report: what a reader must know beside the figures.

#include <span>
#include <string>
#include <vector>

#include "gate/gate_record.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// Failures, invalid cells, unverified bundles and disturbances, each once, however many runs or rows have it.
[[nodiscard]] std::vector<std::string> result_notes(std::span<const SummarizedRun> runs);

/// Refused comparisons, verdicts with their reasons, and waivers.
[[nodiscard]] std::vector<std::string> gate_notes(const GateReport& gate);

/// The mark of a run of which only the summary is stored.
[[nodiscard]] std::string summary_only_note(const SummarizedRun& run);

}  // namespace secondsource
