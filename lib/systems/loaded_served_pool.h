#pragma once
// A server that holds several models, as a worker measures it in the scenario `swap`.

#include <memory>

#include "core/progress.h"
#include "core/result.h"
#include "systems/loaded_system.h"

namespace secondsource {

/// `job.models` are the bundles; `job.served` gives the name that requests use for each. `progress` must outlive the
/// result. Errors: as load_served_system(), and those of asking the server which models it has loaded.
Result<std::unique_ptr<LoadedSystem>> load_served_pool(const SystemJob& job, Progress& progress);

}  // namespace secondsource
