#pragma once
// Sends requests to a system at the times that a scenario asks for, and records the resulting events. It uses one
// thread: the load generator is either idle or inside the system, and never runs beside it.

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/interrupt.h"
#include "measure/request_schedule.h"
#include "measure/request_timer.h"
#include "measure/stop_rule.h"
#include "measure/system_under_test.h"

namespace secondsource {

/// Determines when the next request is sent.
struct LoadShape {
  /// Closed loop: this many requests are in flight, and the next is sent when one ends.
  std::int32_t in_flight = 1;
  /// Open loop: request i arrives at start + arrival_offsets_ns[i], whatever the system does. Empty for a closed loop.
  std::vector<std::int64_t> arrival_offsets_ns{};
  /// Requests of one conversation, as in LoadPacing. A turn is due when its think time has passed since the last token
  /// of the previous answer, by the system's own stamp (or since the answer failed), so that any delay by the system or
  /// the load generator counts as waiting. A failed turn does not end its conversation.
  std::int32_t turns = 1;
  std::vector<std::int64_t> think_ns{};  ///< as in LoadPacing
  StopRule stop{.max_error_rate = 1};
};

struct LoadResult {
  std::vector<ObservedRequest> requests;  ///< the requests that ended, in the order of sending
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;          ///< when the last request ended
  std::optional<LoadStop> stopped;  ///< why the load was given up before all requests ended; nullopt if it was not
  std::int64_t n_abandoned = 0;     ///< requests that were sent and then given up
  /// Closed loop: the time at which a request (or conversation) ended for the first time with none left to take its
  /// place; 0 if that did not happen.
  std::int64_t full_until_ns = 0;
};

/// A count that grows while the worker makes progress; the watchdog of the worker observes it.
using ProgressCount = std::atomic<std::int64_t>;

/// Sends all `requests` (with distinct tags; in conversations the tags are indices) and returns when all have ended or
/// the stop rule applies; requests in flight are then abandoned. Counts every poll in `progress`. Errors: those of the
/// system; kInterrupted. A request that the system refuses is a result with an error.
Result<LoadResult> generate_load(SystemUnderTest& system, std::span<const TimedRequest> requests,
                                 const LoadShape& shape, const InterruptFlag& interrupt, ProgressCount& progress);

}  // namespace secondsource
