#pragma once
// Repeats each check on a copy of a stored repetition with the kind of fault that the check exists to find. A check
// that gives no alarm on the copy would give none in a run either.

#include <span>
#include <string_view>
#include <vector>

#include "record/records.h"

namespace secondsource {

/// A stored repetition, and the data from which its checks were made.
struct StoredRepetition {
  const Repetition* repetition = nullptr;
  std::vector<RequestSample> samples;
  Scenario scenario;
  std::string_view variant;
  /// The looks at the limits of the machine, or of the device; null where they were not measured.
  const LimitLooks* limits = nullptr;
};

/// Returns the result of each check on a copy with its fault: "requests" (a request that failed), "tokens" (one too
/// few), "timestamps" (a clock that is 25 % fast), "rate" (three of four requests sent in time), "queue" (0.2 s more a
/// second), "prompt_cache" (half of each prompt), "warm_up" (the first tokens take 1.5 times as long as the last),
/// "compiled", "roofline" (steps at 125 % of the limit), "machine" (half of its rates), "harness" (10 % of the window),
/// and on counters of this host "foreign_cpu" (20 %), "steal" (10 %), "cpu_quota" (10 %), "page_faults" (50 a second),
/// "swap", "throttling", "clock_settings" and "frequency" (20 %). A check that cannot be made for this repetition or on
/// this host says so.
[[nodiscard]] std::vector<CheckRecord> judge_planted_faults(const StoredRepetition& stored);

}  // namespace secondsource
