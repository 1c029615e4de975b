// A run of the program with one system in the plan's `systems:`, for the tests of servers and of adapters.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "expectations.h"
#include "summary/summarized_run.h"
#include "support/scratch_folder.h"

namespace secondsource::test {

/// The parts of the plan that a test chooses.
struct SystemPlan {
  /// Lines of the system's entry, indented by four spaces, such as "    preset: vllm\n".
  std::string system;
  /// The second scenario; the first one is `single-stream+requests=3@/4`.
  std::string offline = "offline:2+requests=4@/4";
};

/// A run of the default bundle (bf16) on the system named `it`. Its folder and its cache are temporary and are deleted with the
/// object.
class SystemRun {
 public:
  /// Writes the plan and runs it; `more` are additional arguments.
  explicit SystemRun(const SystemPlan& plan, const std::vector<std::string>& more = {});

  [[nodiscard]] const ProgramRun& run() const { return run_; }
  [[nodiscard]] std::filesystem::path plan() const { return scratch_.path() / "plan.yaml"; }
  /// The run directory.
  [[nodiscard]] std::filesystem::path folder() const { return scratch_.path() / "run"; }
  [[nodiscard]] std::filesystem::path scratch() const { return scratch_.path(); }
  /// The options of the run, for further calls of the program that use the same cache.
  [[nodiscard]] const ProgramOptions& options() const { return options_; }
  /// Reads the files that the run wrote.
  [[nodiscard]] SummarizedRun stored() const;
  /// What the system wrote to its standard error.
  [[nodiscard]] std::string log() const;

 private:
  ScratchFolder scratch_;
  ProgramOptions options_;
  ProgramRun run_;
};

/// Waits up to five seconds until the process with this id is gone or is a zombie; returns false if it still runs.
bool has_ended(const std::string& process);

}  // namespace secondsource::test
