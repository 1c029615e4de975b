#pragma once
// A run directory as evidence: its records, its summary, and the hashes that identify its files.

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "record/record_json.h"
#include "summary/summarized_run.h"

namespace secondsource {

struct BriefRun {
  std::string shown_as{};   ///< name of the folder in the brief
  bool has_samples = true;  ///< false: the folder has only run.json and summary.json, as in an archive of runs
  StoredRun stored{};
  RunSummary summary{};
  std::vector<std::pair<std::string, std::string>> file_hashes{};  ///< name, SHA-256

  /// The measured requests in the complete repetitions of a cell. The pointers are into this object.
  [[nodiscard]] std::vector<const RequestSample*> samples_of(std::string_view cell_id) const;
  [[nodiscard]] std::vector<const Repetition*> repetitions_of(std::string_view cell_id) const;
  /// Returns nullptr when the run has no such backend.
  [[nodiscard]] const BackendRecord* backend(std::string_view name) const;
};

/// Reads a run directory. If it has samples, the summary is computed from them again. Errors: kInvalidInput when the
/// folder is not a run directory or has another schema version.
Result<BriefRun> read_brief_run(const std::filesystem::path& folder, std::string shown_as);

}  // namespace secondsource
