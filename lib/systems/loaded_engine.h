#pragma once
// The system that a worker measures in a real run: the engine over one backend, with one bundle in one variant.

#include <memory>

#include "core/progress.h"
#include "core/result.h"
#include "systems/loaded_system.h"

namespace secondsource {

/// Loads the backend module, the bundle and the weights. The KV cache is sized for the job's largest batch and longest
/// prompt, so that the measured memory is what the work needs. Errors: kUnavailable, kUnsupported, kInvalidInput,
/// kOutOfMemory, ...
Result<std::unique_ptr<LoadedSystem>> load_engine_system(const SystemJob& job, Progress& progress);

/// Converts SystemJob::options to BackendOptions. Errors: kInvalidInput for a number that cannot be parsed.
Result<BackendOptions> backend_options_of(const std::vector<std::pair<std::string, std::string>>& options);

}  // namespace secondsource
