#include "record/record_json.h"

#include "core/file.h"
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
  return json_codec::results_schema_text(kind, schema);
}

Result<RunRecord> run_record_from_json(std::string_view text, std::string_view name) {
  return json_codec::from_text<RunRecord>(text, name);
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

Result<StoredRun> read_run(const std::filesystem::path& folder) {
  StoredRun run;
  run.folder = folder;
  const auto record_path = folder / "run.json";
  SS_TRY(const std::string record_text, read_file(record_path));
  SS_TRY(run.record, run_record_from_json(record_text, record_path.string()));
  const auto journal_path = folder / "samples.jsonl";
  if (!std::filesystem::exists(journal_path)) return run;  // the run stopped before its first sample
  SS_TRY(const MappedFile mapped, MappedFile::map(journal_path));
  const auto bytes = mapped.bytes();
  SS_TRY(run.journal,
         journal_from_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, journal_path.string()));
  return run;
}

}  // namespace secondsource
