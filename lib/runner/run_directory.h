#pragma once
// A run on disk: run.json, samples.jsonl, telemetry.jsonl, summary.json and the stderr output of its workers.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

#include "core/result.h"
#include "host/telemetry.h"
#include "record/records.h"
#include "runner/journal.h"

namespace secondsource {

/// The subfolder of a run for the output of its servers and adapters.
inline constexpr std::string_view kServersFolder = "servers";

class RunDirectory {
 public:
  /// Creates the folder and the journal and writes run.json. Errors: kInvalidInput when the folder has a run already,
  /// another process begins one there, or no folder can be there; kIo.
  static Result<RunDirectory> create(const std::filesystem::path& folder, const RunRecord& record);
  /// Reads the record of an existing run without changing anything. Errors: kInvalidInput, kIo.
  static Result<RunRecord> read_record(const std::filesystem::path& folder);
  /// Opens an interrupted run, notes the resumption in its run.json and truncates the incomplete end of its journal. The
  /// journal is locked before anything is read. `check` sees the record before anything is changed; its error is
  /// returned. Errors: kInvalidInput, also for a run that has only its summary.json, which a resumption would replace;
  /// kIo.
  static Result<RunDirectory> resume(const std::filesystem::path& folder,
                                     const std::function<Result<void>(const RunRecord&)>& check);
  /// Errors: kInvalidInput when create() would refuse the folder, so that this is said before any work.
  static Result<void> check_free(const std::filesystem::path& folder);
  /// Errors: kInvalidInput when the folder contains anything except remainders of a run that ended before its run.json
  /// was written, so that the files of a run are never mixed with others; those of list_folder().
  static Result<void> check_nothing_foreign(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] const RunRecord& record() const noexcept { return record_; }
  /// All lines of the journal so far.
  [[nodiscard]] const std::vector<JournalLine>& lines() const noexcept { return lines_; }
  /// Appends to the journal. The lines are on the disk when the call returns. Errors: kIo.
  Result<void> append(std::span<const JournalLine> lines);
  /// Writes the looks at the machine's limits to run.json. Errors: kIo.
  Result<void> set_limits(const LimitLooks& looks);
  /// The same for the limits of the device of a backend that is in the record. Errors: kIo.
  Result<void> set_device_limits(std::string_view backend, const LimitLooks& looks);
  /// Appends to telemetry.jsonl without flushing: telemetry may be lost, samples may not. A line that could not be
  /// written whole is removed again, and so is the torn end that an interrupted run left. Errors: kIo.
  Result<void> append_telemetry(std::string_view stint, const TelemetrySnapshot& snapshot);
  /// The file that receives the stderr of the stint's workers.
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
  std::int64_t telemetry_bytes_ = 0;
};

}  // namespace secondsource
