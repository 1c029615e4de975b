#pragma once
// Compares the newest runs of a branch with the runs that were pinned as its anchor. The statistics are in
// gate/trend.h.

#include <cstdint>
#include <string>

#include "gate/gate_record.h"
#include "gate/rule.h"
#include "history/history.h"

namespace secondsource {

struct AnchorOptions {
  std::string branch{};
  std::int64_t n_recent = 10;  ///< number of newest runs, not counting pinned ones
  GateRule rule{};
  bool judge_opportunistic = false;  ///< opportunistic variants decide, too
  bool allow_unverified = false;     ///< bundles without expected outputs are compared, too
};

/// Compares the gate's metrics of the newest runs (gate_metrics_of()) with those of the pinned runs, for every cell
/// that a pinned run measured or that the branch's newest run has. The newest runs are those that are not pinned and
/// began after the first pinned one. As in the gate on stored runs, GateReport lists what is never a pass: wrong tokens
/// in any of the newest runs; cells that failed, are INVALID or absent in the newest one; and cells that cannot be
/// compared (fewer than kAnchorNights runs that count on a side, a different setup, unverified).
Result<GateReport> compare_with_pinned(History& history, const AnchorOptions& options);

}  // namespace secondsource
