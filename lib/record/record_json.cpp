#include "record/record_json.h"

#include <fmt/format.h>

#include <system_error>

#include "core/calendar.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/seal.h"
#include "core/utf8.h"
#include "record/json_codec.h"

namespace secondsource {

using json_codec::OrderedJson;

std::string to_json(const RunRecord& record) {
  return json_codec::file_text(record);
}

std::string to_json(const RunSummary& summary) {
  return json_codec::file_text(summary);
}

std::string to_json(const ConformanceRecord& record) {
  return json_codec::file_text(record);
}

std::string to_json_line(const JournalLine& line) {
  return json_codec::to_text(json_codec::to_tree(line), -1);
}

std::string record_schema(std::string_view kind) {
  OrderedJson schema;
  if (kind == "run") schema = json_codec::schema_of<RunRecord>();
  if (kind == "summary") schema = json_codec::schema_of<RunSummary>();
  if (kind == "conformance") schema = json_codec::schema_of<ConformanceRecord>();
  if (kind == "sample") schema = json_codec::schema_of<JournalLine>();
  if (schema.is_null()) return "";
  if (kind != "conformance") json_codec::allow_checksum(schema);
  return json_codec::results_schema_text(kind, schema);
}

Result<RunRecord> run_record_from_json(std::string_view text, std::string_view name) {
  SS_TRY(RunRecord record, json_codec::from_text<RunRecord>(text, name));
  if (!seconds_since_1970(record.started_utc)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: started_utc: expected a time such as 2026-11-20T07:43:00Z, found {}", name,
                             in_quotes(record.started_utc))};
  }
  return record;
}

Result<RunSummary> run_summary_from_json(std::string_view text, std::string_view name) {
  return json_codec::from_text<RunSummary>(text, name);
}

Result<ConformanceRecord> conformance_record_from_json(std::string_view text, std::string_view name) {
  return json_codec::from_text<ConformanceRecord>(text, name);
}

Result<JournalLine> journal_line_from_json(std::string_view text, std::string_view name) {
  return json_codec::from_text<JournalLine>(text, name);
}

Result<Journal> journal_from_text(std::string_view text, std::string_view name) {
  return read_lines<JournalLine>(text, name, journal_line_from_json);
}

Result<void> write_record(const std::filesystem::path& path, const RunRecord& record) {
  return write_file(path, sealed(to_json(record)));
}

Result<void> write_record(const std::filesystem::path& path, const RunSummary& record) {
  return write_file(path, sealed(to_json(record)));
}

namespace {

/// A process that resumes the run cuts the end off the journal and writes on, so that a reader may get a mixture of
/// bytes from before and from after. The reader then reads again; if it gets the same bytes twice, they are damaged.
Result<Journal> read_growing_journal(const std::filesystem::path& path) {
  constexpr std::int64_t kLimitBytes = std::int64_t{1} << 40;
  constexpr int kTries = 10;
  SS_TRY(std::string text, read_file(path, kLimitBytes));
  for (int i = 1;; ++i) {
    Result<Journal> journal = journal_from_text(text, path.string());
    if (journal || i == kTries) return journal;
    SS_TRY(std::string again, read_file(path, kLimitBytes));
    if (again == text) return journal;
    text = std::move(again);
  }
}

}  // namespace

Result<void> check_run_folder(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(folder, ignored)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a run directory, found a file: name the folder of a run ({})",
                             folder.string(), folder_of(folder).string())};
  }
  if (path_exists(folder / "run.json")) return {};
  const char* const found = !path_exists(folder)                         ? "nothing"
                            : std::filesystem::is_empty(folder, ignored) ? "an empty folder"
                                                                         : "a folder without one";
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected a run directory, which has a run.json; found {}", folder.string(), found)};
}

Result<StoredRun> read_run(const std::filesystem::path& folder) {
  SS_TRY_VOID(check_run_folder(folder));
  StoredRun run;
  run.folder = folder;
  const auto record_path = folder / "run.json";
  SS_TRY(const std::string record_text, read_file(record_path));
  SS_TRY(run.record, run_record_from_json(record_text, record_path.string()));
  run.has_checksums = seal_of(record_text) == Seal::kGood;
  const auto journal_path = folder / "samples.jsonl";
  if (!path_exists(journal_path)) return run;  // the run stopped before its first sample
  SS_TRY(run.journal, read_growing_journal(journal_path));
  run.has_checksums = run.has_checksums && run.journal.all_sealed;
  return run;
}

}  // namespace secondsource
