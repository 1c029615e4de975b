#pragma once
// Loads the adapter of a runtime: starts its program, lets it load the model, and measures it through its pipes.

#include <memory>

#include "core/progress.h"
#include "core/result.h"
#include "systems/loaded_system.h"
#include "systems/system_job.h"

namespace secondsource {

/// Errors: those of AdapterProcess; those of a bundle that cannot be read.
Result<std::unique_ptr<LoadedSystem>> load_adapter_system(const SystemJob& job, Progress& progress);

}  // namespace secondsource
