#pragma once
// Refuses inputs whose dates contradict each other or the date of the brief.

#include <span>

#include "brief/build_brief.h"
#include "brief/sku.h"
#include "core/result.h"

namespace secondsource {

/// Errors: kInvalidInput where a run began, or a price, a quoted row or the price of an API that the brief uses is dated
/// or was read, after the date of the brief; where a source is dated after the day on which it was read; and where
/// machines were committed until a day before the date of the brief.
[[nodiscard]] Result<void> check_dates(const BriefInputs& inputs, std::span<const Sku> skus);

}  // namespace secondsource
