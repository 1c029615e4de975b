#include "cost/saving_interval.h"

#include <algorithm>
#include <cmath>

namespace secondsource {
namespace {

constexpr double kNoDifference = 1e-9;  ///< of the larger cost

/// The total at the places that maximise, input by input, what `worth` says of them.
template <typename Worth>
CostPair best_total(CostPair total, std::span<const CostsByPlace> inputs, Worth worth) {
  for (const CostsByPlace& places : inputs) {
    const CostPair& best = *std::max_element(places.begin(), places.end(),
                                             [&](const CostPair& a, const CostPair& b) { return worth(a) < worth(b); });
    total.stay += best.stay;
    total.option += best.option;
  }
  return total;
}

/// The total with the largest (sign 1) or smallest (sign -1) ratio of option to stay. A ratio is no sum over the inputs,
/// but sign x (option - ratio x stay) is one; each total that maximises it has a better ratio, until none is better
/// (Dinkelbach, On nonlinear fractional programming, Management Science 13, 1967).
CostPair extreme_ratio(CostPair best, const CostPair& fixed, std::span<const CostsByPlace> inputs, double sign) {
  for (;;) {
    const double ratio = best.option / best.stay;
    const CostPair next =
        best_total(fixed, inputs, [&](const CostPair& costs) { return sign * (costs.option - ratio * costs.stay); });
    if (!(sign * (next.option / next.stay - ratio) > 1e-12 * ratio)) return best;
    best = next;
  }
}

}  // namespace

double saved_usd(const CostPair& costs) {
  const double saved = costs.stay - costs.option;
  return std::abs(saved) < kNoDifference * std::max(costs.stay, costs.option) ? 0 : saved;
}

double saved_percent(const CostPair& costs) {
  return 100 * saved_usd(costs) / costs.stay;
}

Saving saving_interval(const CostPair& known, const CostPair& fixed, std::span<const CostsByPlace> inputs) {
  Saving saving{.usd = {.value = saved_usd(known)}, .percent = {.value = saved_percent(known)}};
  const auto usd_at = [&](double sign) {
    return saved_usd(best_total(fixed, inputs, [&](const CostPair& c) { return sign * (c.stay - c.option); }));
  };
  // A known value may lie between the places, and a cost of whole machines is not monotone in what both alternatives use.
  saving.usd.low = std::min(saving.usd.value, usd_at(-1));
  saving.usd.high = std::max(saving.usd.value, usd_at(1));
  saving.percent.low = saved_percent(extreme_ratio(known, fixed, inputs, 1));
  saving.percent.high = saved_percent(extreme_ratio(known, fixed, inputs, -1));
  return saving;
}

}  // namespace secondsource
