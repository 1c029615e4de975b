#pragma once
// The main job: takes a run directory through its cells, worker by worker, until everything that its run.json plans is
// in its journal. It does not matter whether the directory is new or was interrupted.

#include <filesystem>
#include <string>
#include <vector>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "report/records.h"
#include "runner/run_directory.h"
#include "runner/run_settings.h"

namespace secondsource {

struct SessionOptions {
  std::filesystem::path program;  ///< this executable: workers are started from it
  std::string system = "engine";  ///< WorkerJob::system
  /// Module files: a run in which one changes is no measurement of it.
  std::vector<std::filesystem::path> modules{};
};

/// Runs what is not yet in the journal. A backend that fails is a line in the journal, and the run goes on.
/// Errors: kInterrupted and kIo (disk full): the directory can be resumed; kInvalidInput for settings that cannot be
/// followed.
Result<void> execute_run(RunDirectory& run, const SessionOptions& options, Progress& progress,
                         const InterruptFlag& interrupt);

/// What a finished (or interrupted) run says about its own worth.
struct RunHealth {
  bool wrong_tokens = false;             ///< a golden pass failed, or a timed request left the reference
  std::vector<std::string> failures;     ///< one line each: a backend that failed, or was named and not there
  std::vector<std::string> invalid;      ///< measurements that their own checks refuse
  std::vector<std::string> unavailable;  ///< modules that were not asked for by name: listed, not counted
  std::vector<std::string> unverified;   ///< bundles and variants without expected outputs
};
[[nodiscard]] RunHealth judge_run(const RunRecord& record, const std::vector<JournalLine>& lines,
                                  const RunSummary& summary);

}  // namespace secondsource
