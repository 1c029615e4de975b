#include <fmt/format.h>

#include "backend/check_graph.h"
#include "backend/op_access.h"
#include "core/checked.h"

namespace secondsource {
namespace {

Error invalid_weights(std::string message) {
  return Error{ErrorCode::kInvalidInput, std::move(message)};
}

/// Checks the weights of one operation against its values; the ids are already known to be in range.
class WeightChecker {
 public:
  WeightChecker(const StepGraph& graph, std::span<const WeightSpec> weights) : graph_(graph), weights_(weights) {}

  Result<void> operator()(const Embed& op) const { return cols(op.table, value_cols(op.out)); }
  Result<void> operator()(const RmsNorm& op) const {
    if (op.bias) SS_TRY_VOID(vector(*op.bias, value_cols(op.x)));
    return vector(op.weight, value_cols(op.x));
  }
  Result<void> operator()(const Matmul& op) const {
    const WeightSpec& spec = weight(op.weight);
    if (spec.n_experts != 1)
      return invalid_weights(fmt::format("weight {}: experts go with grouped_matmul only", spec.name));
    SS_TRY_VOID(cols(op.weight, value_cols(op.x)));
    SS_TRY_VOID(outputs(spec, spec.n_rows, op.epilogue, value_cols(op.out)));
    if (op.bias) return vector(*op.bias, spec.n_rows);
    return {};
  }
  Result<void> operator()(const RopeAppend& op) const {
    const std::int64_t head_dim = op.heads.head_dim;
    if (op.q_norm) SS_TRY_VOID(vector(*op.q_norm, n_head_norm_weights(op.head_norm, op.heads.n_heads, head_dim)));
    if (op.k_norm) SS_TRY_VOID(vector(*op.k_norm, n_head_norm_weights(op.head_norm, op.heads.n_kv_heads, head_dim)));
    return {};
  }
  Result<void> operator()(const LatentAppend& op) const { return vector(op.norm, op.heads.latent_dim); }
  Result<void> operator()(const HeadMatmul& op) const {
    const WeightSpec& spec = weight(op.weights);
    const std::int64_t x_dim = value_cols(op.x) / op.n_heads;
    const std::int64_t out_dim = value_cols(op.out) / op.n_heads;
    const std::int64_t n_copied = x_dim - spec.n_cols;
    if (spec.n_experts == op.n_heads && spec.join != Join::kInterleaveGateUp && n_copied >= 0 &&
        spec.n_rows == op.n_heads * (out_dim - n_copied)) {
      return {};
    }
    return invalid_weights(
        fmt::format("weight {}: expected {} matrices that make {} elements of {}, found {} with [{}, {}]", spec.name,
                    op.n_heads, out_dim, x_dim, spec.n_experts, spec.n_rows, spec.n_cols));
  }
  Result<void> operator()(const Route& op) const {
    const WeightSpec& gate = weight(op.gate);
    if (gate.n_rows < op.n_top) {
      return invalid_weights(
          fmt::format("weight {}: expected at least {} experts, found {}", gate.name, op.n_top, gate.n_rows));
    }
    const std::int64_t group_size = gate.n_rows / op.n_groups;
    const bool has_whole_groups = gate.n_rows % op.n_groups == 0;
    const bool sums_two = op.n_groups > 1 && op.group_score == GroupScore::kSumOfTwo;
    if (!has_whole_groups || group_size * op.n_top_groups < op.n_top || (sums_two && group_size < 2)) {
      return invalid_weights(
          fmt::format("weight {}: expected {} groups, of which {} have at least {} experts, found {}", gate.name,
                      op.n_groups, op.n_top_groups, op.n_top, gate.n_rows));
    }
    if (op.bias) SS_TRY_VOID(vector(*op.bias, gate.n_rows));
    if (op.choice_bias) SS_TRY_VOID(vector(*op.choice_bias, gate.n_rows));
    return cols(op.gate, value_cols(op.x));
  }
  Result<void> operator()(const GroupedMatmul& op) const {
    const WeightSpec& spec = weight(op.weights);
    const std::int64_t rows_per_expert = spec.n_rows / spec.n_experts;
    if (op.bias) SS_TRY_VOID(vector(*op.bias, spec.n_rows));
    SS_TRY_VOID(cols(op.weights, value_cols(op.x) / (has_x_per_expert(op) ? op.n_top : 1)));
    return outputs(spec, rows_per_expert, op.epilogue, value_cols(op.out) / (op.weight ? 1 : op.n_top));
  }
  Result<void> operator()(const Attention& op) const {
    return op.sinks ? vector(*op.sinks, op.heads.n_heads) : Result<void>();
  }
  Result<void> operator()(const SelectRows&) const { return {}; }
  Result<void> operator()(const SelectColumns& op) const {
    if (!op.expert) return {};
    const std::vector<std::int32_t>& columns = graph_.column_lists[static_cast<std::size_t>(index_of(op.columns))];
    const std::int64_t n_experts = static_cast<std::int64_t>(columns.size()) / (value_cols(op.out) / op.n_top);
    // Kernels use the number of an expert as an index into the list, so the list must have columns for every expert of
    // the router.
    for (const Op& other : graph_.ops) {
      const auto* const route = std::get_if<Route>(&other);
      if (route == nullptr || route->expert != *op.expert || weight(route->gate).n_rows <= n_experts) continue;
      return invalid_weights(fmt::format("list {}: expected the columns of {} experts, found those of {}",
                                         index_of(op.columns), weight(route->gate).n_rows, n_experts));
    }
    return {};
  }
  Result<void> operator()(const Sample&) const { return {}; }

 private:
  const WeightSpec& weight(WeightId id) const { return weights_[static_cast<std::size_t>(index_of(id))]; }
  std::int64_t value_cols(ValueId id) const { return graph_.values[static_cast<std::size_t>(index_of(id))].cols; }

  Result<void> cols(WeightId id, std::int64_t expected) const {
    if (weight(id).n_cols == expected) return {};
    return invalid_weights(
        fmt::format("weight {}: expected {} columns, found {}", weight(id).name, expected, weight(id).n_cols));
  }
  Result<void> vector(WeightId id, std::int64_t expected) const {
    if (weight(id).n_rows == 1 && weight(id).n_cols == expected) return {};
    return invalid_weights(fmt::format("weight {}: expected [1, {}], found [{}, {}]", weight(id).name, expected,
                                       weight(id).n_rows, weight(id).n_cols));
  }
  static Result<void> outputs(const WeightSpec& spec, std::int64_t n_rows, Epilogue epilogue, std::int64_t out_cols) {
    if (is_gated(epilogue) != (spec.join == Join::kInterleaveGateUp)) {
      return invalid_weights(
          fmt::format("weight {}: a gated epilogue and the join of gate and up go together", spec.name));
    }
    const std::int64_t expected = is_gated(epilogue) ? n_rows / 2 : n_rows;
    if (out_cols == expected) return {};
    return invalid_weights(fmt::format("weight {}: gives {} outputs, the value has {}", spec.name, expected, out_cols));
  }

  const StepGraph& graph_;
  std::span<const WeightSpec> weights_;
};

}  // namespace

Result<void> check_graph_weights(const StepGraph& graph, std::span<const WeightSpec> weights) {
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    for (const WeightId id : op_access(graph.ops[i]).weights) {
      if (index_of(id) < 0 || static_cast<std::size_t>(index_of(id)) >= weights.size()) {
        return invalid_weights(fmt::format("graph: {}: expected a weight in [0, {}), found {}", op_label(graph, i),
                                           weights.size(), index_of(id)));
      }
    }
  }
  const WeightChecker checker(graph, weights);
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    if (auto checked = std::visit(checker, graph.ops[i]); !checked) {
      return checked.error().with_context(op_label(graph, i)).with_context("graph");
    }
  }
  return {};
}

Result<void> check_weight_spec(const WeightSpec& spec) {
  const auto wrong = [&](std::string message) {
    return invalid_weights(fmt::format("weight {}: {}", spec.name, message));
  };
  if (spec.n_rows <= 0 || spec.n_cols <= 0 || spec.n_experts <= 0) {
    return wrong(fmt::format("expected positive extents, found [{}, {}] and {} experts", spec.n_rows, spec.n_cols,
                             spec.n_experts));
  }
  const auto n_values = checked_multiply(spec.n_rows, spec.n_cols);
  if (!n_values || !checked_multiply<std::int64_t>(*n_values, 8)) {
    return wrong(fmt::format("[{}, {}] is too large", spec.n_rows, spec.n_cols));
  }
  if (const BlockForm form = block_form(spec.encoding); form.n_cols > 0 && spec.n_cols % form.n_cols != 0) {
    return wrong(fmt::format("{}: expected columns in multiples of {}, found {}", to_string(spec.encoding), form.n_cols,
                             spec.n_cols));
  }
  const auto n_parts = static_cast<std::int64_t>(spec.parts.size());
  if (n_parts == 0 || n_parts % spec.n_experts != 0 || spec.n_rows % spec.n_experts != 0) {
    return wrong(fmt::format("expected parts and rows that {} experts share equally, found {} parts and {} rows",
                             spec.n_experts, n_parts, spec.n_rows));
  }
  const std::int64_t parts_per_expert = n_parts / spec.n_experts;
  std::int64_t n_rows = 0;
  for (const WeightPart& part : spec.parts) {
    if (part.n_rows <= 0 || part.source == nullptr) return wrong("expected parts with rows and a source");
    n_rows += part.n_rows;
  }
  if (n_rows != spec.n_rows) {
    return wrong(fmt::format("expected {} rows in all parts, found {}", spec.n_rows, n_rows));
  }
  if (spec.join == Join::kNone && spec.n_experts == 1 && n_parts != 1) {
    return wrong(fmt::format("without a join, expected one part, found {}", n_parts));
  }
  if (spec.join == Join::kInterleaveGateUp) {
    if (parts_per_expert != 2) return wrong(fmt::format("expected gate and up, found {} parts", parts_per_expert));
    for (const WeightPart& part : spec.parts) {
      if (part.n_rows != spec.parts.front().n_rows) return wrong("expected gate and up of equal shape");
    }
  }
  return {};
}

}  // namespace secondsource
