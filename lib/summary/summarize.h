#pragma once
// Turns the records of a run into its summary: one CellSummary per cell, by the definitions of docs/metrics.md. It is a
// pure function of the run, so a later version can summarize a stored run again.

#include <string_view>

#include "record/records.h"

namespace secondsource {

/// Every planned cell gets a row, even if it never ran. Warm-up requests and repetitions without a closing line do not
/// count. Costs are computed only if `record.price` is given.
[[nodiscard]] RunSummary summarize(const RunRecord& record, const Journal& journal);

/// True if the failure is one of this cell, of its variant or of its whole backend.
[[nodiscard]] bool concerns(const FailureRecord& failure, const CellKey& cell);

/// True if --backend or --require named the backend.
[[nodiscard]] bool is_named(const RunRecord& record, std::string_view backend);

/// False for a variant that a backend does not support, unless the backend was requested by name, and for an SLO that
/// no rate keeps, which is a result.
[[nodiscard]] bool counts_as_failure(const RunRecord& record, const FailureRecord& failure);

/// True if the run has no figures of the cell for reasons that do not count as failures.
[[nodiscard]] bool is_declined(const RunRecord& record, const RunSummary& summary, const CellSummary& cell);

}  // namespace secondsource
