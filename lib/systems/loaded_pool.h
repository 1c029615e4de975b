#pragma once
// The engine with several bundles under a memory budget, as a worker measures it in the scenario `swap`.

#include <memory>

#include "core/progress.h"
#include "core/result.h"
#include "systems/loaded_system.h"

namespace secondsource {

/// `job.models` are the bundles. `progress` must outlive the result. Errors: as load_engine_system().
Result<std::unique_ptr<LoadedSystem>> load_engine_pool(const SystemJob& job, Progress& progress);

}  // namespace secondsource
