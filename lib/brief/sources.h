#pragma once
// The annex of a brief: the runs, prices, quoted rows and files that its figures come from.

#include <span>

#include "brief/brief.h"
#include "brief/build_brief.h"
#include "brief/sku.h"

namespace secondsource {

/// Sets `runs`, `prices`, `quotes` and `inputs` of the brief: every run and file, and the prices and quotes of the SKUs.
void add_sources(const BriefInputs& inputs, std::span<const Sku> skus, Brief& brief);

}  // namespace secondsource
