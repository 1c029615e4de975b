#pragma once
// The null system as a worker loads it: it serves to test the runner, and to time the runner end to end without a
// model.

#include <memory>

#include "core/result.h"
#include "systems/loaded_system.h"

namespace secondsource {

/// Understands the job options "first_token_ns" and "token_gap_ns" (systems/null_system.h).
Result<std::unique_ptr<LoadedSystem>> load_null_system(const SystemJob& job);

}  // namespace secondsource
