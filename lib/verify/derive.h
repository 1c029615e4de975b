#pragma once
// The figures of one cell, derived a second time from the raw lines of a run by the definitions of docs/metrics.md.

#include <string>
#include <vector>

#include "verify/raw_run.h"

namespace secondsource::verify {

/// The lines of one planned cell, in the order in which they were stored.
struct CellLines {
  const Json* plan = nullptr;  ///< its element of `cells` in run.json
  std::string id;              ///< BUNDLE/BACKEND/VARIANT/SCENARIO
  std::vector<const RawLine*> samples;
  std::vector<const RawLine*> repetitions;
};

/// The lines of each planned cell, in the order of the plan. Lines of cells that were not planned are added to `faults`.
[[nodiscard]] std::vector<CellLines> lines_by_cell(const RawRun& run, std::vector<std::string>& faults);

/// The failures that no later line of the same cells replaces (docs/results-format.md): another failure, a repetition, or
/// for a whole BUNDLE/BACKEND/VARIANT its golden verdict.
[[nodiscard]] std::vector<Json> standing_failures(const RawRun& run);

/// An object with the members of a cell in summary.json, without those that are sentences.
[[nodiscard]] Json derive_cell(const RawRun& run, const CellLines& cell);

/// The median time to first token of `samples`, a part of those of `cell`, as a figure of summary.json.
[[nodiscard]] Json median_ttft(const std::vector<const Json*>& samples, const CellLines& cell);

/// Contradictions within the raw lines of a cell: in the times of a request or the tokens counted in a window, and
/// requests or repetitions that occur twice or were not planned.
[[nodiscard]] std::vector<std::string> contradictions(const CellLines& cell);

}  // namespace secondsource::verify
