#pragma once
// The null system as a worker's subject: for tests of the runner, and to time it end to end without a model.

#include <memory>

#include "core/result.h"
#include "runner/worker.h"

namespace secondsource {

/// Options of the job: "first_token_ns", "token_gap_ns" (systems/null_system.h).
Result<std::unique_ptr<WorkerSubject>> load_null_subject(const WorkerJob& job);

}  // namespace secondsource
