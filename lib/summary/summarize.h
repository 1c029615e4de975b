#pragma once
// Turns the records of a run into its summary: one CellSummary per cell, by the definitions of docs/metrics.md. It is a
// pure function of the run, so a later version can summarize a stored run again.

#include "record/records.h"

namespace secondsource {

/// Every planned cell gets a row, even if it never ran. Warm-up requests and repetitions without a closing line do not
/// count. Costs are computed only if `record.price` is given.
[[nodiscard]] RunSummary summarize(const RunRecord& record, const Journal& journal);

}  // namespace secondsource
