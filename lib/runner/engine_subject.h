#pragma once
// What a worker measures in the product: the engine over one backend, with one bundle in one variant.

#include <memory>

#include "core/progress.h"
#include "core/result.h"
#include "runner/worker.h"

namespace secondsource {

/// Loads module, bundle and weights; sizes the KV cache for the job's largest batch and longest prompt, so that memory
/// is what the work needs. Errors: kUnavailable, kUnsupported, kInvalidInput, kOutOfMemory, ...
Result<std::unique_ptr<WorkerSubject>> load_engine_subject(const WorkerJob& job, Progress& progress);

/// BackendOptions of WorkerJob::options. Errors: kInvalidInput for a value that is none.
Result<BackendOptions> backend_options_of(const std::vector<std::pair<std::string, std::string>>& options);

}  // namespace secondsource
