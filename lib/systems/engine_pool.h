#pragma once
// Several models that share one backend's device under a memory budget: each has an engine of its own while it is
// resident. Loading one evicts the least recently used ones until it fits.

#include <memory>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "measure/model_pool.h"
#include "systems/loaded_prompts.h"
#include "systems/system_job.h"

namespace secondsource {

/// The room for tokens is that of the largest scenario of the job. `prompts` (one per model of the job) and `progress` must
/// outlive the pool. Nothing is loaded. Errors: those of opening the bundles.
Result<std::unique_ptr<ModelPool>> make_engine_pool(const SystemJob& job, const std::vector<LoadedPrompts>& prompts,
                                                    Progress& progress);

}  // namespace secondsource
