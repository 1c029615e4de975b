#pragma once
// A run directory, read and summarized: what every report and the gate start from.

#include <filesystem>

#include "core/result.h"
#include "report/cell_series.h"
#include "report/record_json.h"
#include "report/records.h"
#include "report/summarize.h"

namespace secondsource {

struct SummarizedRun {
  RunRecord record;
  RunSummary summary;
  std::vector<CellSeries> series{};          ///< of the samples; empty where only the summary is known
  std::vector<OperationTimes> operations{};  ///< of traced passes
};

/// Errors: kInvalidInput when it is no run directory, or one of another schema version.
inline Result<SummarizedRun> read_summarized_run(const std::filesystem::path& folder) {
  SS_TRY(StoredRun stored, read_run(folder));
  RunSummary summary = summarize(stored.record, stored.journal);
  std::vector<CellSeries> series = cell_series(stored.record, stored.journal);
  std::vector<OperationTimes> operations;
  for (JournalLine& line : stored.journal.lines) {
    if (auto* times = std::get_if<OperationTimes>(&line)) operations.push_back(std::move(*times));
  }
  return SummarizedRun{std::move(stored.record), std::move(summary), std::move(series), std::move(operations)};
}

}  // namespace secondsource
