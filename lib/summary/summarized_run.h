#pragma once
// A run directory that was read and summarized: the starting point of every report and of the gate.

#include <filesystem>
#include <vector>

#include "core/result.h"
#include "record/record_json.h"
#include "record/records.h"
#include "summary/cell_series.h"
#include "summary/repetition_clocks.h"
#include "summary/summarize.h"

namespace secondsource {

struct SummarizedRun {
  RunRecord record;
  RunSummary summary;
  std::vector<CellSeries> series{};          ///< derived from the samples; empty if only the summary is known
  std::vector<OperationTimes> operations{};  ///< from traced passes
  std::vector<RepetitionClock> clocks{};     ///< from the ends of repetitions
  bool has_checksums = true;                 ///< of all files that were read
  /// False: the folder has no samples.jsonl, as in an archive of runs, or one without a line. The summary is that of
  /// summary.json, which nothing here can derive again.
  bool has_samples = true;
};

struct StoredSummary {
  RunSummary summary;
  bool is_from_samples = true;  ///< false: read from summary.json
  bool has_checksum = true;     ///< false: read from a summary.json of an earlier version, which wrote none
};

/// Summarizes the samples of a stored run, or reads its summary.json if it has no samples. Errors: kIo; kInvalidInput,
/// also if summary.json is of another run.
Result<StoredSummary> summary_of(const StoredRun& stored);

/// Reads a run directory and summarizes its samples, or reads its summary.json if there are none. Errors: kInvalidInput
/// if it is not a run directory or has another schema version.
Result<SummarizedRun> read_summarized_run(const std::filesystem::path& folder);

}  // namespace secondsource
