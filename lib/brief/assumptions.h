#pragma once
// The sentences of a brief that say what was asked for, and what its figures take for granted.

#include <span>
#include <string>
#include <vector>

#include "brief/brief.h"
#include "brief/demand.h"
#include "brief/option_cost.h"
#include "brief/sku.h"

namespace secondsource {

[[nodiscard]] std::vector<std::string> demand_sentences(const Demand& demand);

/// `shown` are the options of the brief, whose assumptions are listed.
[[nodiscard]] std::vector<std::string> assumption_sentences(const Demand& demand, std::span<const Sku> skus,
                                                            const OptionCosts& costs,
                                                            const std::vector<BriefOption>& shown);

}  // namespace secondsource
