#pragma once
// Whether other processes leave a comparison enough of the machine. Beside a load that keeps most CPUs busy, the
// scheduler is measured and not the programs, so that a comparison is better not begun.

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// How long the load of the machine is observed.
struct BusyLook {
  std::int64_t window_ns = 2'000'000'000;    ///< one share is taken over this time
  std::int64_t longest_ns = 20'000'000'000;  ///< the time in which one window must be free enough
};

/// Returns the share in [0, 1] of all CPU time that others took between two calls; nullopt where it cannot be read.
using OthersShare = std::function<std::optional<double>()>;

/// The share since the previous call, from the counters of this host.
[[nodiscard]] OthersShare others_share_of_host();

/// Returns as soon as others took at most `max_share` of all CPU time in one window. Errors: kInconclusive when they
/// took more in every window, with the share of the median one, to which the caller adds what that leaves;
/// kInterrupted.
[[nodiscard]] Result<void> check_machine_is_free(double max_share, const OthersShare& others_share,
                                                 const BusyLook& look, Progress& progress,
                                                 const InterruptFlag& interrupt);

/// The same for this host, over the usual times. `what_is_left` ends the message: "nothing was measured".
[[nodiscard]] Result<void> check_host_is_free(double max_share, std::string_view what_is_left, Progress& progress,
                                              const InterruptFlag& interrupt);

}  // namespace secondsource
