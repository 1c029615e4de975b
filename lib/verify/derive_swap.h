#pragma once
// The figures that only a cell of the scenario `swap` has, derived a second time.

#include <vector>

#include "verify/derive.h"

namespace secondsource::verify {

/// Sets cell["swap"], which is null for other scenarios. `samples` are those that count; the output rates by repetition
/// of `cell` must be set.
void derive_swap(const Json& record, const std::vector<const Json*>& samples, const CellLines& lines, Json& cell);

}  // namespace secondsource::verify
