#pragma once
// Sends requests to a system at the times that a scenario asks for, and notes what comes back. One thread: the load
// generator is idle or inside the system, never beside it.

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/interrupt.h"
#include "measure/request_timer.h"
#include "measure/stop_rule.h"
#include "measure/system_under_test.h"

namespace secondsource {

/// When the next request is sent.
struct LoadShape {
  /// Closed loop: so many requests are in flight, the next is sent when one ends.
  std::int32_t in_flight = 1;
  /// Open loop: request i arrives at start + arrival_offsets_ns[i], whatever the system does. Empty: closed loop.
  std::vector<std::int64_t> arrival_offsets_ns{};
  StopRule stop{.max_error_rate = 1};
};

struct LoadResult {
  std::vector<ObservedRequest> requests;  ///< that ended, in the order of sending
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;         ///< the last request ended
  std::string stopped;             ///< why it was given up before all requests ended; empty: it was not
  std::int64_t n_abandoned = 0;    ///< sent, and given up
  std::int64_t full_until_ns = 0;  ///< closed loop: the first request ended with none left to send
};

/// What the watcher of a worker looks at: is anything moving?
using ProgressCount = std::atomic<std::int64_t>;

/// Sends all `requests` (tags distinct) and returns when all have ended, or when the stop rule says so; what is in
/// flight then is abandoned. Counts every poll in `progress`.
/// Errors: what the system failed with; kInterrupted. A request that the system refuses is a result with an error.
Result<LoadResult> generate_load(SystemUnderTest& system, std::span<const TimedRequest> requests,
                                 const LoadShape& shape, const InterruptFlag& interrupt, ProgressCount& progress);

}  // namespace secondsource
