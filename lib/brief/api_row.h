#pragma once
// What the load would cost if its tokens were bought from a provider's API.

#include <span>

#include "brief/brief.h"
#include "brief/demand.h"
#include "brief/option_cost.h"
#include "brief/sku.h"

namespace secondsource {

/// The row of `demand.api`, which must be stated: its cost over the years, and the loads from which staying costs no more.
[[nodiscard]] BriefApi api_row(const Demand& demand, std::span<const Sku> skus, const OptionCosts& costs);

}  // namespace secondsource
