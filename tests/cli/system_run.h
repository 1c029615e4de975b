// A run of the program with one system of a plan's `systems:`, as the tests of servers and of adapters need it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "expectations.h"
#include "summary/summarized_run.h"
#include "support/scratch_folder.h"

namespace secondsource::test {

/// What of the plan a test chooses.
struct SystemPlan {
  /// Lines of the system's entry, indented by four spaces, such as "    preset: vllm\n".
  std::string system;
  /// The second scenario; the first one is `single-stream+requests=3@/4`.
  std::string offline = "offline:2+requests=4@/4";
};

/// The program's run over the default bundle (bf16), with the system named `it`, in a folder and a cache of its own, all of
/// which end with the object.
class SystemRun {
 public:
  /// Writes the plan and runs it, with `more` behind the other arguments.
  explicit SystemRun(const SystemPlan& plan, const std::vector<std::string>& more = {});

  [[nodiscard]] const ProgramRun& run() const { return run_; }
  [[nodiscard]] std::filesystem::path plan() const { return scratch_.path() / "plan.yaml"; }
  /// The run's output.
  [[nodiscard]] std::filesystem::path folder() const { return scratch_.path() / "run"; }
  [[nodiscard]] std::filesystem::path scratch() const { return scratch_.path(); }
  /// The options of the run, for further calls of the program that use the same cache.
  [[nodiscard]] const ProgramOptions& options() const { return options_; }
  /// What the run wrote, read again.
  [[nodiscard]] SummarizedRun stored() const;
  /// What the system wrote to its standard error.
  [[nodiscard]] std::string log() const;

 private:
  ScratchFolder scratch_;
  ProgramOptions options_;
  ProgramRun run_;
};

/// True as soon as the process with this number is gone or only waits for its parent to look; false after five seconds.
bool has_ended(const std::string& process);

}  // namespace secondsource::test
