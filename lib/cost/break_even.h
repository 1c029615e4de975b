#pragma once
// Where two costs are equal: the price below which an option wins, and the load from which it does.

#include <functional>
#include <optional>
#include <vector>

namespace secondsource {

/// What an hour may cost at most for `hours` of it, with `other_usd` beside, to cost no more than `target_usd` in all.
/// nullopt where no price above 0 does.
[[nodiscard]] std::optional<double> break_even_price(double target_usd, double other_usd, double hours);

/// Two costs as functions of the load. The cost of whole instances rises in steps, so that two options may change
/// places more than once: `first` is the smallest load at which `own` costs no more than `other`, `always` the one from
/// which that holds for every larger load looked at.
struct LoadBreakEven {
  std::optional<double> first;
  std::optional<double> always;
};

/// Looks at 2000 loads between `low` and `high` (both above 0), equally far apart in their logarithms, and bisects
/// between the two around each place.
[[nodiscard]] LoadBreakEven break_even_load(const std::function<double(double)>& own,
                                            const std::function<double(double)>& other, double low, double high);

}  // namespace secondsource
