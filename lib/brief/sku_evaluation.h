#pragma once
// The quarterly evaluation: the cost of tokens on each SKU at three loads, and whether to buy it.

#include <span>
#include <vector>

#include "brief/brief.h"
#include "brief/demand.h"
#include "brief/sku.h"

namespace secondsource {

/// Returns one row per SKU, in the order of the demand. At "your load", the SKU serves the whole load of the buyer.
/// *buy* means that the decision is final and its option uses the SKU; it follows that the SKU was measured on the
/// machine that is priced and is within the buyer's limits.
[[nodiscard]] std::vector<BriefSku> evaluate_skus(const Demand& demand, std::span<const Sku> skus,
                                                  const std::vector<BriefOption>& options,
                                                  const BriefDecision& decision);

}  // namespace secondsource
