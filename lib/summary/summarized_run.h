#pragma once
// A run directory that was read and summarized: the starting point of every report and of the gate.

#include <filesystem>

#include "core/result.h"
#include "record/record_json.h"
#include "record/records.h"
#include "summary/cell_series.h"
#include "summary/summarize.h"

namespace secondsource {

struct SummarizedRun {
  RunRecord record;
  RunSummary summary;
  std::vector<CellSeries> series{};          ///< derived from the samples; empty if only the summary is known
  std::vector<OperationTimes> operations{};  ///< from traced passes
  bool has_checksums = true;                 ///< StoredRun::has_checksums
};

/// Reads and summarizes a run directory. Errors: kInvalidInput if it is not a run directory or has another schema
/// version.
inline Result<SummarizedRun> read_summarized_run(const std::filesystem::path& folder) {
  SS_TRY(StoredRun stored, read_run(folder));
  RunSummary summary = summarize(stored.record, stored.journal);
  std::vector<CellSeries> series = cell_series(stored.record, stored.journal);
  std::vector<OperationTimes> operations;
  for (JournalLine& line : stored.journal.lines) {
    if (auto* times = std::get_if<OperationTimes>(&line)) operations.push_back(std::move(*times));
  }
  return SummarizedRun{std::move(stored.record), std::move(summary), std::move(series), std::move(operations),
                       stored.has_checksums};
}

}  // namespace secondsource
