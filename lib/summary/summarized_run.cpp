#include "summary/summarized_run.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "core/file.h"
#include "core/folder.h"
#include "core/seal.h"

namespace secondsource {

Result<StoredSummary> summary_of(const StoredRun& stored) {
  const std::filesystem::path path = stored.folder / "summary.json";
  if (!stored.journal.lines.empty() || !path_exists(path)) {
    return StoredSummary{.summary = summarize(stored.record, stored.journal)};
  }
  SS_TRY(const std::string text, read_file(path));
  SS_TRY(RunSummary summary, run_summary_from_json(text, path.string()));
  if (summary.run_id != stored.record.run_id) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: run_id: expected {} as in run.json, found {}",
                                                       path.string(), stored.record.run_id, summary.run_id)};
  }
  return StoredSummary{
      .summary = std::move(summary), .is_from_samples = false, .has_checksum = seal_of(text) == Seal::kGood};
}

Result<SummarizedRun> read_summarized_run(const std::filesystem::path& folder) {
  SS_TRY(StoredRun stored, read_run(folder));
  SummarizedRun run;
  SS_TRY(StoredSummary summary, summary_of(stored));
  run.summary = std::move(summary.summary);
  run.has_samples = summary.is_from_samples;
  run.has_checksums = stored.has_checksums && summary.has_checksum;
  run.series = cell_series(stored.record, stored.journal);
  run.clocks = repetition_clocks(stored.record, stored.journal.lines);
  for (JournalLine& line : stored.journal.lines) {
    if (auto* times = std::get_if<OperationTimes>(&line)) run.operations.push_back(std::move(*times));
  }
  run.record = std::move(stored.record);
  return run;
}

}  // namespace secondsource
