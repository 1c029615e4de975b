#pragma once
// A run on disk: run.json, samples.jsonl, telemetry.jsonl, summary.json and what the workers wrote to stderr.

#include <filesystem>
#include <optional>
#include <string_view>

#include "core/result.h"
#include "measure/telemetry.h"
#include "report/records.h"
#include "runner/journal.h"

namespace secondsource {

class RunDirectory {
 public:
  /// Creates the folder, writes run.json, begins the journal. Errors: kInvalidInput when there is a run already; kIo.
  static Result<RunDirectory> create(const std::filesystem::path& folder, const RunRecord& record);
  /// The record of an existing run, without touching it. Errors: kInvalidInput, kIo.
  static Result<RunRecord> read_record(const std::filesystem::path& folder);
  /// Reads a run that was interrupted, notes the resumption in its run.json, and cuts the journal's torn end off.
  /// Errors: kInvalidInput, kIo.
  static Result<RunDirectory> resume(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] const RunRecord& record() const noexcept { return record_; }
  /// All lines so far.
  [[nodiscard]] const std::vector<JournalLine>& lines() const noexcept { return lines_; }
  /// On the disk when it returns. Errors: kIo.
  Result<void> append(std::span<const JournalLine> lines);
  /// Into run.json: a limit turned out to be higher than it was measured at first. Errors: kIo.
  Result<void> raise_limits(const RunLimits& limits);
  /// Beside the journal; never flushed: telemetry may be lost, samples not. Errors: kIo.
  Result<void> append_telemetry(std::string_view stint, const TelemetrySnapshot& snapshot);
  /// Where a worker's stderr goes.
  [[nodiscard]] std::filesystem::path stderr_file(std::string_view stint) const;
  /// Derives summary.json from record and journal and writes it. Errors: kIo.
  Result<RunSummary> write_summary() const;

 private:
  RunDirectory(std::filesystem::path folder, RunRecord record, JournalWriter journal, std::vector<JournalLine> lines)
      : folder_(std::move(folder)),
        record_(std::move(record)),
        journal_(std::move(journal)),
        lines_(std::move(lines)) {}

  std::filesystem::path folder_;
  RunRecord record_;
  JournalWriter journal_;
  std::vector<JournalLine> lines_;
  FileDescriptor telemetry_;
};

}  // namespace secondsource
