#pragma once
// A comparison on disk: ab.json, pairs.jsonl, processes/ with a run directory for each process, and what the programs
// wrote to stderr.

#include <filesystem>
#include <string>
#include <vector>

#include "ab/ab_record.h"
#include "core/result.h"
#include "runner/line_writer.h"

namespace secondsource {

class AbDirectory {
 public:
  /// Writes ab.json and begins pairs.jsonl in a folder that may hold golden runs, but no comparison yet. Errors:
  /// kInvalidInput, kIo.
  static Result<AbDirectory> create(const std::filesystem::path& folder, AbRecord record);
  /// The record of an existing comparison, without touching it. Errors: kInvalidInput, kIo.
  static Result<AbRecord> read_record(const std::filesystem::path& folder);
  /// Goes on with a comparison: notes that in ab.json and cuts off a torn line. Errors: kInvalidInput, kIo.
  static Result<AbDirectory> resume(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] const AbRecord& record() const noexcept { return record_; }
  [[nodiscard]] const std::vector<ProcessLine>& lines() const noexcept { return lines_; }
  /// On the disk when it returns. Errors: kIo.
  Result<void> append(ProcessLine line);

 private:
  AbDirectory(std::filesystem::path folder, AbRecord record, LineWriter writer, std::vector<ProcessLine> lines)
      : folder_(std::move(folder)), record_(std::move(record)), writer_(std::move(writer)), lines_(std::move(lines)) {}

  std::filesystem::path folder_;
  AbRecord record_;
  LineWriter writer_;
  std::vector<ProcessLine> lines_;
};

/// Where what an arm writes to stderr goes.
[[nodiscard]] std::filesystem::path stderr_file(const std::filesystem::path& folder, const ArmRecord& arm);

}  // namespace secondsource
