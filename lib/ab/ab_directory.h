#pragma once
// A comparison on disk: ab.json, pairs.jsonl, processes/ with one run directory per process, and the stderr output of
// the programs.

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ab/ab_record.h"
#include "core/line_writer.h"
#include "core/result.h"

namespace secondsource {

/// The subfolder of a comparison for the runs of its processes.
inline constexpr std::string_view kProcessesFolder = "processes";

class AbDirectory {
 public:
  /// Creates pairs.jsonl in a folder that has no comparison yet, locks it, and writes the record that `plan` makes into
  /// ab.json. `plan` runs the golden prompts inside the folder, so the lock is taken before it is called. Errors:
  /// kInvalidInput, kIo, those of `plan`.
  static Result<AbDirectory> create(const std::filesystem::path& folder, const std::function<Result<AbRecord>()>& plan);
  /// Reads the record of an existing comparison without changing anything. Errors: kInvalidInput, kIo.
  static Result<AbRecord> read_record(const std::filesystem::path& folder);
  /// Opens a comparison to continue it: notes the resumption in ab.json, cuts off a torn last line, and removes the runs of
  /// processes that were interrupted. Errors: kInvalidInput, kIo.
  static Result<AbDirectory> resume(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] const AbRecord& record() const noexcept { return record_; }
  [[nodiscard]] const std::vector<ProcessLine>& lines() const noexcept { return lines_; }
  /// Appends a line to pairs.jsonl. The line is on the disk when the call returns. Errors: kIo.
  Result<void> append(ProcessLine line);

 private:
  AbDirectory(std::filesystem::path folder, AbRecord record, LineWriter writer, std::vector<ProcessLine> lines)
      : folder_(std::move(folder)), record_(std::move(record)), writer_(std::move(writer)), lines_(std::move(lines)) {}

  std::filesystem::path folder_;
  AbRecord record_;
  LineWriter writer_;
  std::vector<ProcessLine> lines_;
};

/// The run directory of a process, relative to the comparison's folder.
[[nodiscard]] std::string run_of_process(const AbStint& stint, Arm arm, std::int64_t pair, std::int64_t attempt);

/// The file that receives the stderr of an arm's programs.
[[nodiscard]] std::filesystem::path stderr_file(const std::filesystem::path& folder, const ArmRecord& arm);

}  // namespace secondsource
