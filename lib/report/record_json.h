#pragma once
// The records of records.h as JSON and back. Reading is strict: a missing or mistyped field is one line that names the
// file, the field and what was expected (kInvalidInput); a schema version that is not ours is refused.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "report/conformance_record.h"
#include "report/gate_record.h"
#include "report/portability_record.h"
#include "report/records.h"

namespace secondsource {

[[nodiscard]] std::string to_json(const RunRecord& record);
[[nodiscard]] std::string to_json(const RunSummary& summary);
[[nodiscard]] std::string to_json(const GateReport& gate);
[[nodiscard]] std::string to_json(const ConformanceRecord& record);
[[nodiscard]] std::string to_json(const PortabilityMatrix& matrix);
/// One line, without the newline.
[[nodiscard]] std::string to_json_line(const JournalLine& line);

/// JSON Schema of "run", "sample" (a line of samples.jsonl), "summary", "gate", "conformance" or "portability", made
/// from the same field lists that write and read the records; reports/schemas/ publishes them. Empty for any other
/// name.
[[nodiscard]] std::string results_schema(std::string_view kind);

Result<RunRecord> run_record_from_json(std::string_view text, std::string_view name);
Result<GateReport> gate_report_from_json(std::string_view text, std::string_view name);
Result<ConformanceRecord> conformance_record_from_json(std::string_view text, std::string_view name);
Result<RunSummary> run_summary_from_json(std::string_view text, std::string_view name);
Result<JournalLine> journal_line_from_json(std::string_view text, std::string_view name);

/// A journal's lines in order. The last line may be torn by a crash: it is left out and `torn_tail` set. Any other
/// malformed line is an error with its line number.
struct Journal {
  std::vector<JournalLine> lines;
  bool torn_tail = false;
  std::size_t valid_bytes = 0;  ///< where a resumed run goes on writing
};
Result<Journal> journal_from_text(std::string_view text, std::string_view name);

/// A run directory's two input files.
struct StoredRun {
  std::filesystem::path folder;
  RunRecord record;
  Journal journal;
};
Result<StoredRun> read_run(const std::filesystem::path& folder);

}  // namespace secondsource
