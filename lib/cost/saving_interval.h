#pragma once
// What one alternative saves against another, with the interval that follows from uncertain inputs of both. Pure
// functions; docs/cost.md, "Intervals".

#include <span>
#include <vector>

#include "cost/interval.h"

namespace secondsource {

/// What the two alternatives cost, in USD.
struct CostPair {
  double stay = 0;
  double option = 0;
};

/// stay − option. A difference below 1e-9 of the larger cost comes from the order of the arithmetic, and is 0.
[[nodiscard]] double saved_usd(const CostPair& costs);
/// The same in percent of the cost of staying, which must be above 0.
[[nodiscard]] double saved_percent(const CostPair& costs);

/// What depends on one uncertain input, at each place in its interval that is examined.
using CostsByPlace = std::vector<CostPair>;

struct Saving {
  Interval usd{};
  Interval percent{};
};

/// Bounds the saving over all combinations of places. A total is `fixed` plus one pair of each input, so that the
/// smallest and largest values are found in time proportional to the number of inputs. `known` is the pair at the known
/// values of the inputs.
[[nodiscard]] Saving saving_interval(const CostPair& known, const CostPair& fixed,
                                     std::span<const CostsByPlace> inputs);

}  // namespace secondsource
