#pragma once
// Lists what the data says against each option, without judgement. Each line names the figure that it comes from, and
// only a limit that the buyer set excludes an option.

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

/// Returns the risks of all options, limits first. Equal risks of several options are merged.
[[nodiscard]] std::vector<BriefRisk> risks_of(const RiskInputs& inputs, const OptionCosts& costs);

/// True if any limit excludes this option.
[[nodiscard]] bool breaks_a_limit(const std::vector<BriefRisk>& risks, std::string_view option);

}  // namespace secondsource
