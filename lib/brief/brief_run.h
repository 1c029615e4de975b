#pragma once
// A run directory as evidence: its records, its summary, and the hashes that say which files they were.

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "report/record_json.h"
#include "report/summarize.h"

namespace secondsource {

struct BriefRun {
  std::string shown_as{};   ///< how the brief names the folder
  bool has_samples = true;  ///< false: only run.json and summary.json are there, as where runs are archived
  StoredRun stored{};
  RunSummary summary{};
  std::vector<std::pair<std::string, std::string>> file_hashes{};  ///< name, SHA-256

  /// The measured requests of a cell, of whole repetitions; borrowed.
  [[nodiscard]] std::vector<const RequestSample*> samples_of(std::string_view cell_id) const;
  [[nodiscard]] std::vector<const Repetition*> repetitions_of(std::string_view cell_id) const;
  /// nullptr when the run did not plan it.
  [[nodiscard]] const BackendRecord* backend(std::string_view name) const;
};

/// The summary is made anew from the samples, where they are. Errors: kInvalidInput when it is no run directory, or one
/// of another schema version.
Result<BriefRun> read_brief_run(const std::filesystem::path& folder, std::string shown_as);

}  // namespace secondsource
