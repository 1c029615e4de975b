#pragma once
// Plans the cells of the scenario swap, in which all bundles of the run take turns (docs/scenarios.md).

#include <optional>

#include "core/result.h"
#include "record/records.h"
#include "runner/planned_cells.h"

namespace secondsource {

struct PlannedMix {
  BundleRecord bundle;  ///< stands for all bundles, so that its cells are judged and compared like those of any bundle
  PlannedCells cells;
};

/// Returns nullopt if no scenario is a swap. Errors: kInvalidInput for bundles without a common variant, a budget that cannot hold the
/// weights of one model, and requests so few that a model gets none; those of fit_into_context().
Result<std::optional<PlannedMix>> plan_mix(const CellInputs& inputs);

}  // namespace secondsource
