#pragma once
// Runs a case on a backend.

#include "backend/backend.h"
#include "conformance/case.h"

namespace secondsource::conformance {

/// Returns nullopt when the backend reports support for every operation and weight of the case, otherwise its reason.
[[nodiscard]] std::optional<std::string> why_unsupported(const Backend& backend, const Case& c);

/// Prepares the weights, compiles the graphs, runs the actions, and reads back every observed value and the whole
/// cache.
Result<CaseOutputs> run_case(Backend& backend, const Case& c);

/// Returns the graph with WeightId{i} replaced by ids[i].
[[nodiscard]] StepGraph with_weights(const StepGraph& graph, std::span<const WeightId> ids);

}  // namespace secondsource::conformance
