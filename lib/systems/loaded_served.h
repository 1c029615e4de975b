#pragma once
// A server as a worker loads it: the worker is the client, with the bundle's prompts and expected outputs.

#include <memory>

#include "core/progress.h"
#include "core/result.h"
#include "systems/loaded_system.h"

namespace secondsource {

/// Reads the bundle without its weights. `job.served` must be present. Errors: kInvalidInput, kIo.
Result<std::unique_ptr<LoadedSystem>> load_served_system(const SystemJob& job, Progress& progress);

}  // namespace secondsource
