#pragma once
// Which option to take, in one line that says how sure it is.

#include <span>
#include <vector>

#include "brief/brief.h"
#include "brief/demand.h"
#include "brief/sku.h"

namespace secondsource {

/// Of the options within the buyer's limits the one that saves most; it has to save more than the least that the buyer
/// asks for, with the lower end of its interval where it has one. Else: stay. An option whose speeds are not all
/// measured, on the machines that are priced, is *provisional*. `options` are in the order of the demand.
[[nodiscard]] BriefDecision decide(const Demand& demand, const std::vector<BriefOption>& options,
                                   const std::vector<BriefRisk>& risks, std::span<const Sku> skus);

}  // namespace secondsource
