#pragma once
// From the pairs of a comparison to its verdicts.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ab/ab_record.h"
#include "gate/waiver.h"
#include "report/gate_record.h"

namespace secondsource {

/// A verdict for each cell and metric; wrong tokens, failed backends and what must not be compared beside them. A cell
/// whose pairs have not reached a verdict is inconclusive. `today`: YYYY-MM-DD.
[[nodiscard]] GateReport report_of(const AbRecord& record, std::span<const ProcessLine> lines,
                                   std::span<const Waiver> waivers, std::string_view today);

/// The lines above a verdict table: who was compared with whom, on what, in how many pairs.
[[nodiscard]] std::vector<std::string> ab_header(const AbRecord& record, std::span<const ProcessLine> lines);

/// The backends and variants that both sides have and whose tokens are right on both: what is worth timing.
[[nodiscard]] std::vector<AbStint> stints_of(const std::vector<AbGolden>& golden, bool allow_unverified);

}  // namespace secondsource
