#pragma once
// What a cell of the scenario `swap` has beside the figures of every cell, derived a second time.

#include <vector>

#include "verify/derive.h"

namespace secondsource::verify {

/// Sets cell["swap"], which is null for other scenarios. `samples` are those that count; `cell` has its output rates by
/// repetition.
void derive_swap(const Json& record, const std::vector<const Json*>& samples, const CellLines& lines, Json& cell);

}  // namespace secondsource::verify
