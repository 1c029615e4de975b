#pragma once
// Checks that a StepGraph is well formed. compile() of every backend starts with check_graph() and
// check_graph_weights(), so that the kernels need no checks of their own.

#include <span>

#include "backend/op.h"
#include "backend/weights.h"
#include "core/result.h"

namespace secondsource {

/// Checks the structure of the graph: ids are in range, shapes and row kinds agree, values are written before they are
/// read, and values alias only where op.h allows it (out may be aux, q may be out, sum_out may be x). Errors:
/// kInvalidInput, naming the operation's label.
Result<void> check_graph(const StepGraph& graph);

/// Checks the weights used by a graph that has passed check_graph: ids are in range, shapes and joins fit the
/// operation. `weights[i]` describes WeightId i. Errors: kInvalidInput, naming the operation's label and the weight.
Result<void> check_graph_weights(const StepGraph& graph, std::span<const WeightSpec> weights);

/// Checks one weight by itself: extents are positive, parts add up to n_rows, and the join fits. Errors: kInvalidInput.
Result<void> check_weight_spec(const WeightSpec& spec);

}  // namespace secondsource
