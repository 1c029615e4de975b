#pragma once
// The quarterly evaluation: what tokens cost on each SKU at three loads, and whether to buy it.

#include <span>
#include <vector>

#include "brief/brief.h"
#include "brief/demand.h"
#include "brief/sku.h"

namespace secondsource {

/// One row a SKU, in the order of the demand. At "your load" the SKU serves all of it. *buy* means: measured, its
/// tokens proven where the buyer asks for that, the SLO kept, and the lower end of the saving above the buyer's least.
[[nodiscard]] std::vector<BriefSku> evaluate_skus(const Demand& demand, std::span<const Sku> skus);

}  // namespace secondsource
