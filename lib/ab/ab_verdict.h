#pragma once
// Derives the verdicts of a comparison from its pairs.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ab/ab_record.h"
#include "gate/gate_record.h"
#include "gate/waiver.h"

namespace secondsource {

/// Returns a verdict for each cell and metric, and lists wrong tokens, failed backends and what is not comparable. A
/// cell whose pairs have not reached a verdict is inconclusive. `today` is YYYY-MM-DD.
[[nodiscard]] GateReport report_of(const AbRecord& record, std::span<const ProcessLine> lines,
                                   std::span<const Waiver> waivers, std::string_view today);

/// The stints that are worth timing: backends and variants that both sides have and whose tokens are right on both.
[[nodiscard]] std::vector<AbStint> stints_of(const std::vector<AbGolden>& golden, bool allow_unverified);

}  // namespace secondsource
