#pragma once
// Computes the additional figures of a cell of the scenario `swap` from its repetitions.

#include <optional>

#include "record/records.h"
#include "summary/cell_lines.h"

namespace secondsource {

/// `lines` are those of the cell, with only the samples that count; the scenario and the output rates by repetition of
/// `cell` must be set. nullopt if no repetition has the records for it. `usd_per_hour` is the price of the devices in
/// use, if the run has one.
[[nodiscard]] std::optional<SwapSummary> summarize_swap(const CellLines& lines, const CellSummary& cell,
                                                        const std::optional<double>& usd_per_hour);

}  // namespace secondsource
