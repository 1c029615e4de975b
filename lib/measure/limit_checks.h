#pragma once
// Checks of a repetition against what the machine and the harness can do at best. docs/checks.md has the table.

#include <string_view>

#include "measure/machine_probe.h"
#include "report/records.h"

namespace secondsource {

/// A speed above the machine's limit by more than this share cannot be: what the limits themselves vary by when they
/// are measured again on a quiet machine.
inline constexpr double kRooflineTolerance = 0.05;
/// Shares of the measured time that the harness itself may take: marked, and not counted.
inline constexpr double kOverheadSuspect = 0.001;
inline constexpr double kOverheadInvalid = 0.01;

/// "roofline": prefill, decode and all steps together read no more bytes a second and do no more operations a second
/// than the machine can. Not available without limits, or for a device that is not the host.
[[nodiscard]] CheckRecord check_roofline(const Repetition& repetition, const RunLimits* limits,
                                         std::string_view variant);

/// Shares of the machine's best that it must still have right after a repetition; below, the repetition is marked.
inline constexpr double kMachineRead = 0.85;
inline constexpr double kMachineOperations = 0.90;

/// "machine": could the machine do right after the repetition what it can at best? What takes memory bandwidth away on
/// a shared host shows here alone.
[[nodiscard]] CheckRecord check_machine(const MachineMoment& moment, const RunLimits& limits);

/// What measuring costs: the load generator and its timer, over a system that takes no time of its own.
struct HarnessCost {
  double ns_per_request = 0;
  double ns_per_poll = 0;   ///< each brings the tokens of one step
  double ns_per_token = 0;  ///< on top of its poll
};

/// "harness": what the load generator and its timer take for this many requests, of the window. A system that does not
/// count its steps is taken to give its tokens one at a time.
[[nodiscard]] CheckRecord check_harness(const Repetition& repetition, std::int64_t n_requests, const HarnessCost& cost);

}  // namespace secondsource
