#pragma once
// samples.jsonl: what was measured, appended line by line, on the disk before the next measurement begins. One writer;
// a lock keeps a second one out. Reading is report/record_json.h's.

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "report/record_json.h"
#include "report/records.h"
#include "runner/line_writer.h"

namespace secondsource {

/// What a journal holds that a resumed run can build on.
struct JournalState {
  std::vector<JournalLine> lines;
  std::size_t valid_bytes = 0;  ///< the file is cut back to this
};

/// The unit of resumption is the request in single-stream, and the whole repetition elsewhere (requests that share the
/// machine cannot be taken up one by one): samples at the end that belong to an unfinished repetition of an offline or
/// server cell are dropped, to be taken again, and so is a torn last line. `cells`: the plan, which says what is what.
/// Errors: kInvalidInput for a malformed line that is not the last.
Result<JournalState> read_journal_for_resume(std::string_view text, std::string_view name,
                                             std::span<const PlannedCell> cells);

class JournalWriter {
 public:
  /// A new journal. Errors: kInvalidInput when there is one already, kIo.
  static Result<JournalWriter> create(const std::filesystem::path& path);
  /// An existing one, cut back to `valid_bytes`. Errors: kIo; kInvalidInput when another process writes it.
  static Result<JournalWriter> resume(const std::filesystem::path& path, std::size_t valid_bytes);

  /// Writes each line with one write(), then flushes once to the disk: call it outside timed regions. A line that
  /// could not be written whole (disk full) is taken back, so that the journal stays readable. Errors: kIo.
  Result<void> append(std::span<const JournalLine> lines);

 private:
  explicit JournalWriter(LineWriter lines) : lines_(std::move(lines)) {}
  LineWriter lines_;
};

}  // namespace secondsource
