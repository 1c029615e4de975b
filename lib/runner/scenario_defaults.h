#pragma once
// Adapts a scenario to one model: fills in the lengths and counts that it leaves open, and leaves out or refuses what
// the model's context cannot hold. docs/scenarios.md lists the defaults.

#include <string_view>

#include "bundle/model_config.h"
#include "core/result.h"
#include "record/scenario.h"

namespace secondsource {

/// Fills in the prompt and output lengths, the batch and the number of requests that are 0. `has_prompts`: the bundle has golden
/// prompts, whose lengths count where none are given. The oracle gets fewer requests, since it is slow.
[[nodiscard]] Scenario with_defaults(Scenario scenario, bool has_prompts, bool is_oracle, const ModelConfig& config);

/// Leaves out the recorded requests that are longer than the context of the model `model`. Errors: kInvalidInput, naming it, if
/// nothing is left, if other requests or conversations are longer than the context, or if no request is long enough to be
/// cancelled in its middle; those of reading a trace.
Result<void> fit_into_context(Scenario& scenario, std::string_view model, const ModelConfig& config);

}  // namespace secondsource
