#pragma once
// Measures one repetition of the scenario `swap` on a pool of models: each model's start to its first token, the requests
// of each model while it is alone, and then the whole mix under the memory budget (docs/scenarios.md).

#include <span>

#include "core/result.h"
#include "measure/model_pool.h"
#include "measure/repetition.h"

namespace secondsource {

/// `items` are the requests of the mix in their order; TimedRequest::model says which model each is for. At the
/// beginning of the mix the same models are resident as at its end, so that repetitions are alike and a budget that
/// holds all models costs nothing. Errors: as measure_repetition(), and kInvalidInput for a model that does not fit
/// into the budget.
Result<void> measure_swap_repetition(ModelPool& pool, std::span<const WorkItem> items, const RepetitionPlan& plan,
                                     const MeasurementContext& context);

}  // namespace secondsource
