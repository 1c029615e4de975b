#pragma once
// Executes a run: starts one worker after another until the journal of the run directory has everything that its
// run.json plans. New and interrupted directories are treated alike.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "record/records.h"
#include "record/run_settings.h"
#include "runner/managed_server.h"
#include "runner/run_directory.h"
#include "systems/system_job.h"

namespace secondsource {

struct SessionOptions {
  std::filesystem::path program;                 ///< this executable: workers are started from it
  SystemKind system = SystemKind::kEngine;       ///< of all backends but the served ones
  std::map<std::string, KeySource> keys{};       ///< of served systems, by name; they are in no record
  std::map<std::string, ServerPlan> servers{};   ///< of systems that this program starts, by name
  std::map<std::string, AdapterJob> adapters{};  ///< by name
  /// Files of the backend modules. If one changes during the run, its measurements are invalid.
  std::vector<std::filesystem::path> modules{};
  bool retry_failed = false;  ///< measure what failed before; otherwise a failed cell is left alone
};

/// Runs what is not in the journal yet. The failure of a backend is recorded in the journal, and the run continues.
/// Errors: kInterrupted and kIo (disk full), after which the directory can be resumed; kInvalidInput for invalid
/// settings.
Result<void> execute_run(RunDirectory& run, const SessionOptions& options, Progress& progress,
                         const InterruptFlag& interrupt);

}  // namespace secondsource
