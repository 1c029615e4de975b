#pragma once
// Is a StepGraph well formed? compile() of every backend starts with these two, so that the arithmetic behind it need
// not look again.

#include <span>

#include "backend/op.h"
#include "backend/weights.h"
#include "core/result.h"

namespace secondsource {

/// Checks the graph's structure: ids in range, shapes and row kinds agree, values written before they are read, and no
/// aliasing but what op.h allows (out may be aux, q may be out, sum_out may be x). Errors: kInvalidInput, naming the
/// operation's label.
Result<void> check_graph(const StepGraph& graph);

/// Checks the weights that a graph (which passed check_graph) names: ids in range, shapes and joins fit the operation.
/// `weights[i]` describes WeightId i. Errors: kInvalidInput, naming the operation's label and the weight.
Result<void> check_graph_weights(const StepGraph& graph, std::span<const WeightSpec> weights);

/// Checks one weight by itself: extents positive, parts sum up to n_rows, the join fits. Errors: kInvalidInput.
Result<void> check_weight_spec(const WeightSpec& spec);

}  // namespace secondsource
