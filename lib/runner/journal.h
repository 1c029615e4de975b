#pragma once
// Writes samples.jsonl, to which measurements are appended line by line. Each is on the disk before the next
// measurement begins. A lock keeps a second writer out. record/record_json.h has the functions that read the file.

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/line_writer.h"
#include "core/result.h"
#include "record/record_json.h"
#include "record/records.h"

namespace secondsource {

/// Reads the journal of an interrupted run. The unit of resumption is the request in single-stream scenarios and the
/// whole repetition in all others, because requests that share the machine cannot be resumed one by one. Therefore
/// trailing samples of an unfinished offline or server repetition are dropped and measured again, and a torn last line
/// (without its newline, or with zeros) is dropped too; the file must then be truncated to Journal::valid_bytes().
/// `cells` are the planned cells, which give the scenario of each sample. Errors: kInvalidInput for any other malformed
/// line.
Result<Journal> read_journal_for_resume(std::string_view text, std::string_view name,
                                        std::span<const PlannedCell> cells);

class JournalWriter {
 public:
  /// Opens the journal, which is created if it is absent, and locks it. Errors: kInvalidInput when another process
  /// writes it; kIo.
  static Result<JournalWriter> open(const std::filesystem::path& path);

  /// The whole text. Errors: kIo.
  [[nodiscard]] Result<std::string> read() const { return lines_.read(); }
  /// Cuts the text off after `valid_bytes`. Errors: kIo.
  Result<void> truncate(std::size_t valid_bytes) { return lines_.truncate(valid_bytes); }

  /// Appends the lines, then flushes once to the disk; call it outside timed regions only. A line that could not be
  /// written completely (disk full) is removed again, so that the journal stays readable. Errors: kIo.
  Result<void> append(std::span<const JournalLine> lines);

 private:
  explicit JournalWriter(LineWriter lines) : lines_(std::move(lines)) {}
  LineWriter lines_;
};

}  // namespace secondsource
