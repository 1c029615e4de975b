#pragma once
// The options that the buyer did not state, so that a better one is not overlooked: all of the load on one machine type.

#include <vector>

#include "brief/demand.h"

namespace secondsource {

/// One option of kind kUnasked for each SKU on which no stated option puts all of the load. Its migration is the usual
/// one; where the demand states none, it is the longest of the stated options.
[[nodiscard]] std::vector<OptionSpec> unasked_options(const Demand& demand);

}  // namespace secondsource
