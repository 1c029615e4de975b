#pragma once
// The figures of one option: its cost with interval, its parts, what it saves, and what would change that.

#include <span>
#include <string_view>

#include "brief/brief.h"
#include "brief/demand.h"
#include "brief/option_cost.h"
#include "brief/sku.h"
#include "core/result.h"

namespace secondsource {

/// The row of an option of `demand` in a brief of this date; everything but `is_eligible`. Errors: kInvalidInput for a load
/// that needs more machines than can be bought, and as for timeline_of().
[[nodiscard]] Result<BriefOption> option_row(const Demand& demand, std::span<const Sku> skus, const OptionCosts& costs,
                                             const OptionSpec& option, std::string_view date);

}  // namespace secondsource
