#pragma once
// Writes the records of a run as JSON and reads them. Reading is strict: a missing or mistyped field, and a checksum
// (core/seal.h) that is not that of the content, give a one-line error that names the file, the field and what was
// expected (kInvalidInput); other schema versions are refused.

#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.h"
#include "record/conformance_record.h"
#include "record/records.h"

namespace secondsource {

[[nodiscard]] std::string to_json(const RunRecord& record);
[[nodiscard]] std::string to_json(const RunSummary& summary);
[[nodiscard]] std::string to_json(const ConformanceRecord& record);
/// Returns one line, without the newline.
[[nodiscard]] std::string to_json_line(const JournalLine& line);

/// Returns the JSON Schema of "run", "sample" (a line of samples.jsonl), "summary" or "conformance", made from the same
/// field lists that write and read the records; reports/schemas/ publishes them. Returns an empty text for any other
/// name.
[[nodiscard]] std::string record_schema(std::string_view kind);

Result<RunRecord> run_record_from_json(std::string_view text, std::string_view name);
Result<RunSummary> run_summary_from_json(std::string_view text, std::string_view name);
Result<ConformanceRecord> conformance_record_from_json(std::string_view text, std::string_view name);
Result<JournalLine> journal_line_from_json(std::string_view text, std::string_view name);

/// Parses the whole text of a samples.jsonl (read_lines() describes how a last line that was cut off is treated).
Result<Journal> journal_from_text(std::string_view text, std::string_view name);

/// Writes `record` into a file with a checksum. Errors: as OutputFile.
Result<void> write_record(const std::filesystem::path& path, const RunRecord& record);
Result<void> write_record(const std::filesystem::path& path, const RunSummary& record);

/// The two files of a run directory from which everything else is derived.
struct StoredRun {
  std::filesystem::path folder;
  RunRecord record;
  Journal journal;
  bool has_checksums = true;  ///< false: an earlier version wrote a part of it, and damage to that part would not show
};
/// Errors: kInvalidInput if `folder` is a file, such as one of the run's files.
Result<void> check_run_folder(const std::filesystem::path& folder);
/// Reads a run directory, also while another process measures into it: what that process has not written to its end is
/// left out. Errors: kInvalidInput, kIo.
Result<StoredRun> read_run(const std::filesystem::path& folder);

}  // namespace secondsource
