#pragma once
// What the data itself says against an option. No judgement of ours: each line names the figure it comes from, and what
// the buyer set as a limit takes the option out.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brief/brief.h"
#include "brief/demand.h"
#include "brief/option_cost.h"
#include "brief/sku.h"
#include "cost/price_book.h"
#include "gate/waiver.h"

namespace secondsource {

struct RiskInputs {
  const Demand& demand;
  std::span<const Sku> skus;
  const std::vector<PriceRow>& prices;
  const std::vector<Waiver>& waivers;
  std::string_view today;  ///< YYYY-MM-DD
};

/// Those of all options, equal ones together, limits first.
[[nodiscard]] std::vector<BriefRisk> risks_of(const RiskInputs& inputs, const OptionCosts& costs);

/// Does any limit take this option out?
[[nodiscard]] bool breaks_a_limit(const std::vector<BriefRisk>& risks, std::string_view option);

}  // namespace secondsource
