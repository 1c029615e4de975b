#pragma once
// A run directory, read and summarized: what every report and the gate start from.

#include <filesystem>

#include "core/result.h"
#include "report/record_json.h"
#include "report/records.h"
#include "report/summarize.h"

namespace secondsource {

struct SummarizedRun {
  RunRecord record;
  RunSummary summary;
};

/// Errors: kInvalidInput when it is no run directory, or one of another schema version.
inline Result<SummarizedRun> read_summarized_run(const std::filesystem::path& folder) {
  SS_TRY(StoredRun stored, read_run(folder));
  RunSummary summary = summarize(stored.record, stored.journal);
  return SummarizedRun{std::move(stored.record), std::move(summary)};
}

}  // namespace secondsource
