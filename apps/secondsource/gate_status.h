#pragma once
// Maps a gate's report to exit statuses, for `gate` and `run --baseline` alike.

#include <vector>

#include "exit_status.h"
#include "gate/gate_record.h"

namespace secondsource {

inline constexpr const char* kGateOpportunisticHelp =
    "Opportunistic variants decide, too (default: they are reported and fail nothing)";

/// Adds every status that applies to the report to those of the run that it judges; most_serious() chooses one of them.
/// Inconclusive verdicts are ignored if `allow_inconclusive`.
[[nodiscard]] std::vector<ExitStatus> statuses_of(const GateReport& gate, bool allow_inconclusive,
                                                  std::vector<ExitStatus> statuses = {});

}  // namespace secondsource
