#pragma once
// From what was recorded to what is reported: one CellSummary a cell, by the definitions of docs/metrics.md. A pure
// function of the run, so that a stored run can be summarized again by a later version.

#include "report/records.h"

namespace secondsource {

struct Journal;

/// Every planned cell gets a row, also those that never ran. Warm-up requests and repetitions without their closing
/// line do not count. Costs need `record.price`.
[[nodiscard]] RunSummary summarize(const RunRecord& record, const Journal& journal);

}  // namespace secondsource
