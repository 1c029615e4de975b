#pragma once
// From the repetitions of the scenario `swap` to what its cell has beside the figures of every cell.

#include <optional>

#include "record/records.h"
#include "summary/cell_lines.h"

namespace secondsource {

/// `lines` are those of the cell, their samples the ones that count; `cell` has its scenario and its output rates by
/// repetition. nullopt where no repetition has what this needs. `usd_per_hour` is that of the devices in use, if the run has a
/// price.
[[nodiscard]] std::optional<SwapSummary> summarize_swap(const CellLines& lines, const CellSummary& cell,
                                                        const std::optional<double>& usd_per_hour);

}  // namespace secondsource
