#pragma once
// The quarterly evaluation: the cost of tokens on each SKU at three loads, and whether to buy it.

#include <span>
#include <vector>

#include "brief/brief.h"
#include "brief/demand.h"
#include "brief/sku.h"

namespace secondsource {

/// Returns one row per SKU, in the order of the demand. At "your load", the SKU serves the whole load of the buyer.
/// *buy* means that the SKU was measured, its tokens were verified if the buyer requires that, it keeps the SLO, and
/// the lower end of its saving exceeds the buyer's minimum.
[[nodiscard]] std::vector<BriefSku> evaluate_skus(const Demand& demand, std::span<const Sku> skus);

}  // namespace secondsource
