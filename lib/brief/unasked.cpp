#include "brief/unasked.h"

#include <algorithm>

namespace secondsource {
namespace {

bool is_all_on(const std::vector<Share>& shares, const std::string& sku) {
  return shares.size() == 1 && shares.front().sku == sku;
}

bool puts_all_on(const OptionSpec& option, const std::string& sku, const Demand& demand) {
  const bool interactive = demand.batch_percent == 100 || is_all_on(option.interactive, sku);
  const bool batch = demand.batch_percent == 0 || is_all_on(option.batch, sku);
  return interactive && batch && !option.fallback;
}

Migration likely_migration(const Demand& demand) {
  if (demand.usual_migration) return *demand.usual_migration;
  Migration likely;
  for (const OptionSpec& option : demand.options) {
    const bool is_longer = option.migration.weeks() > likely.weeks();
    const bool is_dearer = option.migration.weeks() == likely.weeks() && option.migration.usd() > likely.usd();
    if (is_longer || is_dearer) likely = option.migration;
  }
  return likely;
}

}  // namespace

std::vector<OptionSpec> unasked_options(const Demand& demand) {
  std::vector<OptionSpec> result;
  for (const SkuSpec& sku : demand.skus) {
    const bool is_stated = std::any_of(demand.options.begin(), demand.options.end(),
                                       [&](const OptionSpec& option) { return puts_all_on(option, sku.id, demand); });
    if (is_stated) continue;
    result.push_back({.kind = OptionKind::kUnasked,
                      .name = "All on " + sku.id + " (not asked for)",
                      .interactive = {{sku.id, 100}},
                      .batch = {{sku.id, 100}},
                      .migration = likely_migration(demand)});
  }
  return result;
}

}  // namespace secondsource
