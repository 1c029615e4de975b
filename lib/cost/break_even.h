#pragma once
// Finds where two costs are equal: the price below which an option is cheaper, and the load from which it is.

#include <functional>
#include <optional>
#include <vector>

namespace secondsource {

/// The highest price per hour at which `hours` hours and other costs of `other_usd` together cost no more than
/// `target_usd`. nullopt if no price above 0 is low enough.
[[nodiscard]] std::optional<double> break_even_price(double target_usd, double other_usd, double hours);

/// The loads from which one option costs no more than another. The cost of whole instances rises in steps, so the
/// cheaper option may change more than once: `first` is the smallest load at which `own` costs no more than `other`,
/// and `always` the load from which this holds for every larger load examined.
struct LoadBreakEven {
  std::optional<double> first;
  std::optional<double> always;
};

/// Compares the costs at 2000 loads between `low` and `high` (both above 0), spaced evenly on a logarithmic scale, and
/// bisects each interval in which the order changes.
[[nodiscard]] LoadBreakEven break_even_load(const std::function<double(double)>& own,
                                            const std::function<double(double)>& other, double low, double high);

}  // namespace secondsource
