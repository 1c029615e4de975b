#pragma once
// The child's side: takes commands from its standard input, measures, and answers on its standard output. It measures a
// LoadedSystem and depends on neither engine nor bundle.

#include <functional>
#include <memory>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "host/telemetry.h"
#include "measure/repetition.h"
#include "measure/system_under_test.h"
#include "runner/worker_protocol.h"
#include "systems/loaded_system.h"

namespace secondsource {

/// Loads the system that the job names. The worker reports an error to its parent and ends.
using SystemLoader = std::function<Result<std::unique_ptr<LoadedSystem>>(const SystemJob& job, Progress& progress)>;

/// Serves until it reads `quit`, until its input ends because the parent is gone, or until loading a system failed.
/// Returns only errors of the pipes; all others are sent to the parent as `failed` messages.
Result<void> serve_as_worker(const SystemLoader& load);

}  // namespace secondsource
