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
};

/// Compares cost and TTFT of the newest runs with those of the pinned runs, for every cell of the branch's newest run.
/// Cells that cannot be compared (fewer than kAnchorNights runs on a side, a different setup) are listed in
/// GateReport::not_comparable.
Result<GateReport> compare_with_pinned(History& history, const AnchorOptions& options);

}  // namespace secondsource
