#pragma once
// Planted bugs of weights: rows that reach the reference with other codes, scales, zero points or minima than their source has.

#include "backend/weights.h"
#include "conformance/mutants.h"

namespace secondsource::conformance {

/// The weight as a backend with that bug would see it; unchanged for a bug that does not concern its encoding.
[[nodiscard]] WeightSpec with_changed_rows(const WeightSpec& spec, Bug bug);

}  // namespace secondsource::conformance
