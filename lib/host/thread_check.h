#pragma once
// Whether the system lets this process start the threads that a run needs, asked before any work.

#include <cstdint>

#include "core/result.h"

namespace secondsource {

/// Starts `n_threads` threads that do nothing, waits until all of them live at once, and ends them. Processes count
/// against the same limit. Errors: kInvalidInput when the system refuses one of them (ulimit -u, the pids of a
/// cgroup), or has no address space for its stack (ulimit -v).
Result<void> check_threads_can_start(std::int32_t n_threads);

}  // namespace secondsource
