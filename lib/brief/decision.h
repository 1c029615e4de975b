#pragma once
// Chooses an option and states the decision in one line, including how certain it is.

#include <span>
#include <vector>

#include "brief/brief.h"
#include "brief/demand.h"
#include "brief/sku.h"

namespace secondsource {

/// Chooses the option that saves most among those within the buyer's limits. The saving, or the lower end of its
/// interval if it has one, must exceed the buyer's minimum; otherwise the decision is to stay. The decision is
/// *provisional* unless all speeds of the option were measured on the machines that are priced. `options` are in the
/// order of the demand.
[[nodiscard]] BriefDecision decide(const Demand& demand, const std::vector<BriefOption>& options,
                                   const std::vector<BriefRisk>& risks, std::span<const Sku> skus);

}  // namespace secondsource
