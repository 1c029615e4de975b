#pragma once
// Checks a repetition against what the machine and the harness can do at best. docs/checks.md has the table.

#include <string_view>

#include "host/machine_probe.h"
#include "record/records.h"

namespace secondsource {

/// A speed that exceeds the machine's limit by more than this share is impossible. The limits themselves vary by this
/// much when they are measured again on a quiet machine; where the two best looks at a limit differ by more, it is not
/// known well enough to call a speed impossible.
inline constexpr double kRooflineTolerance = 0.05;
/// Shares of the measured time that the harness itself may take: above the first the repetition is suspect, above the
/// second, which is half of the gate's threshold, invalid.
inline constexpr double kOverheadSuspect = 0.01;
inline constexpr double kOverheadInvalid = 0.05;

/// "roofline": prefill, decode and all steps together read no more bytes per second and do no more operations per
/// second than the machine can. A higher speed is INVALID only if two looks at the limit agree and other processes
/// hardly used the CPUs during one of them; otherwise it is suspect. `looks` are those of the device that computes;
/// null: not available.
[[nodiscard]] CheckRecord check_roofline(const Repetition& repetition, const LimitLooks* looks,
                                         std::string_view variant);

/// Shares of its best rates that the machine must still reach right after a repetition; below them the repetition is
/// suspect.
inline constexpr double kMachineRead = 0.85;
inline constexpr double kMachineOperations = 0.90;

/// "machine": checks whether the machine still reaches its best rates right after the repetition, as far as the
/// repetition needs them. This is the only check that shows a loss of memory bandwidth on a shared host. It counts if
/// `steps` read at least half of the moment's buffer each, or do not tell what they read; other steps run from caches,
/// and slow memory does not affect them. `limits` includes this moment as a look (host/limit_looks.h).
[[nodiscard]] CheckRecord check_machine(const MachineMoment& moment, const MachineLimits& limits,
                                        const StepWork& steps);

/// The cost of measuring: the time of the load generator and its timer, measured with a system that takes no time of
/// its own.
struct HarnessCost {
  double ns_per_request = 0;
  double ns_per_poll = 0;   ///< each poll returns the tokens of one step
  double ns_per_token = 0;  ///< in addition to its poll
};

/// "harness": checks what share of the window the load generator and its timer take for this many requests. A system
/// that does not count its steps is assumed to return its tokens one at a time.
[[nodiscard]] CheckRecord check_harness(const Repetition& repetition, std::int64_t n_requests, const HarnessCost& cost);

}  // namespace secondsource
