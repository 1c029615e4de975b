#include "backend/check_graph.h"

#include <fmt/format.h>

#include <cmath>

#include "backend/op_access.h"

namespace secondsource {
namespace {

std::string_view rows_name(Rows rows) {
  switch (rows) {
    case Rows::kTokens:
      return "tokens";
    case Rows::kSeqs:
      return "sequences";
    case Rows::kLogits:
      return "logits";
  }
  return "unknown";
}

/// Checks one operation after the other. An error message is a sentence without the name of the operation, which
/// check_graph() puts in front of it.
class StructureChecker {
 public:
  explicit StructureChecker(const StepGraph& graph) : graph_(graph), written_(graph.values.size(), false) {}

  Result<void> check(const Op& op) {
    const OpAccess access = op_access(op);
    for (const auto* list : {&access.reads, &access.writes}) {
      for (const ValueId id : *list) {
        if (index_of(id) < 0 || static_cast<std::size_t>(index_of(id)) >= graph_.values.size()) {
          return bad(fmt::format("expected a value in [0, {}), found {}", graph_.values.size(), index_of(id)));
        }
      }
    }
    for (const ValueId id : access.reads) {
      if (!written_[slot(id)]) return bad(fmt::format("value {} is read before it is written", index_of(id)));
    }
    SS_TRY_VOID(std::visit(*this, op));
    for (const ValueId id : access.writes) written_[slot(id)] = true;
    return {};
  }

  Result<void> operator()(const Embed& op) const {
    if (value(op.out).rows != Rows::kTokens) return bad("expected an output of one row a token");
    return float_value(op.out);
  }
  Result<void> operator()(const RmsNorm& op) const {
    SS_TRY_VOID(float_value(op.x));
    SS_TRY_VOID(like(op.out, op.x));
    SS_TRY_VOID(distinct(op.out, op.x));
    if (op.add) SS_TRY_VOID(like(*op.add, op.x));
    if (op.add) SS_TRY_VOID(distinct(op.out, *op.add));
    if (op.sum_out) SS_TRY_VOID(like(*op.sum_out, op.x));
    if (op.sum_out) SS_TRY_VOID(distinct(op.out, *op.sum_out));
    if (op.sum_out && op.add) SS_TRY_VOID(distinct(*op.sum_out, *op.add));
    if (op.bias && !op.centers) return bad("a bias goes with a norm that centers");
    if (!op.residual) return {};
    if (op.add || op.sum_out) return bad("a residual goes with neither add nor sum_out");
    return like(*op.residual, op.x);
  }
  Result<void> operator()(const Matmul& op) const {
    SS_TRY_VOID(float_value(op.x));
    SS_TRY_VOID(float_value(op.out));
    SS_TRY_VOID(same_rows(op.out, op.x));
    SS_TRY_VOID(distinct(op.out, op.x));
    if ((op.epilogue == Epilogue::kAddResidual) != op.aux.has_value()) return bad("aux goes with kAddResidual only");
    if (op.epilogue == Epilogue::kBias && !op.bias) return bad("kBias needs a bias");
    const bool takes_bias = op.epilogue == Epilogue::kBias || op.epilogue == Epilogue::kGelu || is_gated(op.epilogue);
    if (op.bias && !takes_bias) return bad("a bias goes with kBias, kGelu or a gated epilogue");
    if (op.aux) SS_TRY_VOID(like(*op.aux, op.out));
    if (op.softcap < 0.0F) return bad(fmt::format("expected a softcap >= 0, found {}", op.softcap));
    return act_scale(op.act, op.act_scale);
  }
  Result<void> operator()(const RopeAppend& op) const {
    SS_TRY_VOID(heads(op.heads, op.layer));
    if (op.heads.latent_dim > 0) return bad("latents are appended by latent_append");
    if (op.k && !op.v) return bad("k is a value of its own only where v is one");
    const std::int32_t n_joined = op.heads.n_heads + (op.k ? 0 : op.v ? 1 : 2) * op.heads.n_kv_heads;
    SS_TRY_VOID(token_matrix(op.qkv, n_joined * op.heads.head_dim));
    for (const std::optional<ValueId>& apart : {op.k, op.v}) {
      if (apart) SS_TRY_VOID(token_matrix(*apart, op.heads.n_kv_heads * op.heads.head_dim));
    }
    SS_TRY_VOID(token_matrix(op.q_out, op.heads.n_heads * op.heads.head_dim));
    SS_TRY_VOID(distinct(op.q_out, op.qkv));
    for (const std::optional<ValueId>& apart : {op.k, op.v}) {
      if (apart) SS_TRY_VOID(distinct(op.q_out, *apart));
    }
    if (op.heads.head_dim % 2 != 0) return bad(fmt::format("expected an even head_dim, found {}", op.heads.head_dim));
    return rotation(op.rope, op.heads.head_dim);
  }
  Result<void> operator()(const LatentAppend& op) const {
    SS_TRY_VOID(heads(op.heads, op.layer));
    const std::int32_t n_rotated = op.heads.head_dim - op.heads.latent_dim;
    if (op.heads.latent_dim == 0 || n_rotated == 0 || n_rotated % 2 != 0) {
      return bad(fmt::format("expected a latent and an even number of rotated elements behind it, found {} of {}",
                             op.heads.latent_dim, op.heads.head_dim));
    }
    SS_TRY_VOID(token_matrix(op.latent, op.heads.head_dim));
    SS_TRY_VOID(token_matrix(op.q, op.heads.n_heads * op.heads.head_dim));
    SS_TRY_VOID(like(op.q_out, op.q));
    SS_TRY_VOID(distinct(op.q_out, op.latent));
    return rotation(op.rope, n_rotated);
  }
  Result<void> operator()(const HeadMatmul& op) const {
    SS_TRY_VOID(float_value(op.x));
    SS_TRY_VOID(float_value(op.out));
    SS_TRY_VOID(same_rows(op.out, op.x));
    SS_TRY_VOID(distinct(op.out, op.x));
    if (op.n_heads <= 0) return bad(fmt::format("expected heads, found {}", op.n_heads));
    if (value(op.x).cols % op.n_heads == 0 && value(op.out).cols % op.n_heads == 0) return {};
    return bad(fmt::format("expected columns divisible by {} heads, found {} and {}", op.n_heads, value(op.x).cols,
                           value(op.out).cols));
  }
  Result<void> operator()(const Attention& op) const {
    SS_TRY_VOID(heads(op.heads, op.layer));
    SS_TRY_VOID(token_matrix(op.q, op.heads.n_heads * op.heads.head_dim));
    SS_TRY_VOID(token_matrix(op.out, op.heads.n_heads * op.heads.value_dim()));
    if (op.window < 0) return bad(fmt::format("expected a window >= 0, found {}", op.window));
    if (op.softcap < 0.0F) return bad(fmt::format("expected a softcap >= 0, found {}", op.softcap));
    return {};
  }
  Result<void> operator()(const SelectRows& op) const {
    SS_TRY_VOID(float_value(op.x));
    SS_TRY_VOID(float_value(op.out));
    if (value(op.x).rows != Rows::kTokens || value(op.out).rows != Rows::kLogits) {
      return bad("expected rows of tokens in and rows of logits out");
    }
    return same_cols(op.out, op.x);
  }
  Result<void> operator()(const SelectColumns& op) const {
    SS_TRY_VOID(float_value(op.x));
    SS_TRY_VOID(float_value(op.out));
    SS_TRY_VOID(same_rows(op.out, op.x));
    SS_TRY_VOID(distinct(op.out, op.x));
    const auto list = static_cast<std::size_t>(index_of(op.columns));
    if (index_of(op.columns) < 0 || list >= graph_.column_lists.size()) {
      return bad(fmt::format("expected a list of columns in [0, {}), found {}", graph_.column_lists.size(),
                             index_of(op.columns)));
    }
    const std::vector<std::int32_t>& columns = graph_.column_lists[list];
    std::int32_t n_inputs = value(op.x).cols;
    if (op.expert) {
      SS_TRY_VOID(routed_columns(op));
      if (op.x_per_expert) n_inputs /= op.n_top;
      const auto n_columns = static_cast<std::size_t>(value(op.out).cols / op.n_top);
      if (columns.empty() || columns.size() % n_columns != 0) {
        return bad(fmt::format("list {}: expected {} columns for each expert, found {} in all", list, n_columns,
                               columns.size()));
      }
    } else if (op.n_top != 0 || op.x_per_expert) {
      return bad("n_top and x_per_expert go with an expert");
    } else if (columns.size() != static_cast<std::size_t>(value(op.out).cols)) {
      return bad(fmt::format("list {}: expected {} columns, found {}", list, value(op.out).cols, columns.size()));
    }
    for (const std::int32_t column : columns) {
      if (column >= 0 && column < n_inputs) continue;
      return bad(fmt::format("list {}: expected columns in [0, {}), found {}", list, n_inputs, column));
    }
    return {};
  }
  Result<void> operator()(const Sample& op) const {
    SS_TRY_VOID(float_value(op.logits));
    if (value(op.logits).rows != Rows::kLogits) return bad("expected rows of logits");
    if (op.n_top < 0 || op.n_top > value(op.logits).cols) {
      return bad(fmt::format("expected n_top in [0, {}], found {}", value(op.logits).cols, op.n_top));
    }
    return {};
  }
  Result<void> operator()(const Route& op) const {
    SS_TRY_VOID(float_value(op.x));
    if (op.n_top <= 0) return bad(fmt::format("expected n_top > 0, found {}", op.n_top));
    if (op.choice_bias && op.score != RouteScore::kSigmoid) return bad("a bias of the choice goes with kSigmoid");
    if (op.n_groups <= 0 || op.n_top_groups <= 0 || op.n_top_groups > op.n_groups) {
      return bad(
          fmt::format("expected at least one group and at most all, found {} of {}", op.n_top_groups, op.n_groups));
    }
    SS_TRY_VOID(expert_value(op.expert, op.n_top));
    SS_TRY_VOID(float_value(op.weight));
    SS_TRY_VOID(like_rows_cols(op.weight, op.x, op.n_top));
    return same_rows(op.expert, op.x);
  }
  Result<void> operator()(const GroupedMatmul& op) const {
    SS_TRY_VOID(float_value(op.x));
    SS_TRY_VOID(float_value(op.out));
    if (op.n_top <= 0) return bad(fmt::format("expected n_top > 0, found {}", op.n_top));
    SS_TRY_VOID(expert_value(op.expert, op.n_top));
    SS_TRY_VOID(same_rows(op.expert, op.x));
    SS_TRY_VOID(same_rows(op.out, op.x));
    SS_TRY_VOID(distinct(op.out, op.x));
    if (op.epilogue == Epilogue::kGelu) return bad("a grouped product has no epilogue of kGelu");
    SS_TRY_VOID(act_scale(op.act, op.act_scale));
    if (op.epilogue == Epilogue::kBias) return bad("a grouped product has its bias with any other epilogue than kBias");
    if ((op.epilogue == Epilogue::kAddResidual) != op.aux.has_value()) return bad("aux goes with kAddResidual only");
    if (has_x_per_expert(op) && value(op.x).cols % op.n_top != 0) {
      return bad("expected input columns divisible by n_top");
    }
    if (!op.weight) {
      if (op.aux) return bad("aux goes with the second product only");
      if (value(op.out).cols % op.n_top != 0) return bad("expected output columns divisible by n_top");
      return {};
    }
    if (is_gated(op.epilogue)) return bad("a gated epilogue goes with the first product only");
    if (op.x_per_expert) return bad("x_per_expert goes with the first product, and the second has it anyway");
    SS_TRY_VOID(float_value(*op.weight));
    SS_TRY_VOID(like_rows_cols(*op.weight, op.x, op.n_top));
    if (op.aux) SS_TRY_VOID(like(*op.aux, op.out));
    return {};
  }

 private:
  static Error bad(std::string message) { return Error{ErrorCode::kInvalidInput, std::move(message)}; }
  static Result<void> act_scale(ActQuant act, float scale) {
    const bool has_scale = scale > 0.0F && std::isfinite(scale);
    if (has_stored_scale(act) == has_scale && (has_scale || scale == 0.0F)) return {};
    return bad(fmt::format(
        "expected a positive scale of activations with kInt8Static, kFp8Static and kNvfp4Static, else 0, found {}",
        scale));
  }
  /// Checks a SelectColumns whose columns depend on the experts of a token.
  Result<void> routed_columns(const SelectColumns& op) const {
    if (op.n_top <= 0) return bad(fmt::format("expected n_top > 0 with an expert, found {}", op.n_top));
    SS_TRY_VOID(expert_value(*op.expert, op.n_top));
    SS_TRY_VOID(same_rows(*op.expert, op.x));
    if (value(op.out).cols % op.n_top != 0) return bad("expected output columns divisible by n_top");
    if (op.x_per_expert && value(op.x).cols % op.n_top != 0) return bad("expected input columns divisible by n_top");
    return {};
  }
  static std::size_t slot(ValueId id) { return static_cast<std::size_t>(index_of(id)); }
  const ValueDesc& value(ValueId id) const { return graph_.values[slot(id)]; }

  Result<void> float_value(ValueId id) const {
    if (value(id).dtype == DType::kF32) return {};
    return bad(fmt::format("value {}: expected f32, found {}", index_of(id), to_string(value(id).dtype)));
  }
  Result<void> expert_value(ValueId id, std::int32_t n_top) const {
    if (value(id).dtype == DType::kI32 && value(id).cols == n_top) return {};
    return bad(fmt::format("value {}: expected i32 of {} columns, found {} of {}", index_of(id), n_top,
                           to_string(value(id).dtype), value(id).cols));
  }
  Result<void> same_cols(ValueId id, ValueId model) const {
    if (value(id).cols == value(model).cols) return {};
    return bad(fmt::format("value {}: expected {} columns, found {}", index_of(id), value(model).cols, value(id).cols));
  }
  Result<void> same_rows(ValueId id, ValueId model) const {
    if (value(id).rows == value(model).rows) return {};
    return bad(fmt::format("value {}: expected rows of {}, found rows of {}", index_of(id),
                           rows_name(value(model).rows), rows_name(value(id).rows)));
  }
  Result<void> like(ValueId id, ValueId model) const {
    SS_TRY_VOID(float_value(id));
    SS_TRY_VOID(same_rows(id, model));
    return same_cols(id, model);
  }
  Result<void> like_rows_cols(ValueId id, ValueId model, std::int32_t cols) const {
    if (value(id).cols != cols) {
      return bad(fmt::format("value {}: expected {} columns, found {}", index_of(id), cols, value(id).cols));
    }
    return same_rows(id, model);
  }
  Result<void> token_matrix(ValueId id, std::int32_t cols) const {
    SS_TRY_VOID(float_value(id));
    if (value(id).rows == Rows::kTokens && value(id).cols == cols) return {};
    return bad(fmt::format("value {}: expected rows of tokens and {} columns, found rows of {} and {}", index_of(id),
                           cols, rows_name(value(id).rows), value(id).cols));
  }
  static Result<void> distinct(ValueId a, ValueId b) {
    if (a != b) return {};
    return bad(fmt::format("value {} may not be read and written in place here", index_of(a)));
  }
  Result<void> rotation(RopeId id, std::int32_t n_rotated) const {
    const auto rope = static_cast<std::size_t>(index_of(id));
    if (index_of(id) < 0 || rope >= graph_.ropes.size()) {
      return bad(fmt::format("expected a rope in [0, {}), found {}", graph_.ropes.size(), index_of(id)));
    }
    const QueryGrowth& growth = graph_.ropes[rope].query_growth;
    if (growth.period < 0 || !std::isfinite(growth.beta)) {
      return bad(fmt::format("rope {}: expected a finite beta and a period of at least 0, found {} and {}", rope,
                             growth.beta, growth.period));
    }
    const auto expected = static_cast<std::size_t>(n_rotated / 2);
    if (graph_.ropes[rope].inv_freq.size() == expected) return {};
    return bad(
        fmt::format("rope {}: expected {} frequencies, found {}", rope, expected, graph_.ropes[rope].inv_freq.size()));
  }
  static Result<void> heads(const HeadShape& shape, std::int32_t layer) {
    if (layer < 0) return bad(fmt::format("expected a layer >= 0, found {}", layer));
    if (shape.latent_dim < 0 || shape.latent_dim > shape.head_dim || (shape.latent_dim > 0 && shape.n_kv_heads != 1)) {
      return bad(fmt::format("expected one KV head with a latent of at most {}, found {} with {}", shape.head_dim,
                             shape.n_kv_heads, shape.latent_dim));
    }
    if (shape.n_heads > 0 && shape.n_kv_heads > 0 && shape.head_dim > 0 && shape.n_heads % shape.n_kv_heads == 0) {
      return {};
    }
    return bad(fmt::format("expected query heads that are a multiple of KV heads, found {} and {} of {}", shape.n_heads,
                           shape.n_kv_heads, shape.head_dim));
  }

  const StepGraph& graph_;
  std::vector<bool> written_;
};

}  // namespace

Result<void> check_graph(const StepGraph& graph) {
  const auto bad = [](std::string message) { return Error{ErrorCode::kInvalidInput, "graph: " + std::move(message)}; };
  if (graph.ops.empty()) return bad("expected operations, found none");
  if (!graph.labels.empty() && graph.labels.size() != graph.ops.size()) {
    return bad(fmt::format("expected {} labels, found {}", graph.ops.size(), graph.labels.size()));
  }
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    const ValueDesc& value = graph.values[i];
    if (value.cols <= 0) return bad(fmt::format("value {}: expected columns, found {}", i, value.cols));
    if (value.dtype != DType::kF32 && value.dtype != DType::kI32) {
      return bad(fmt::format("value {}: expected f32 or i32, found {}", i, to_string(value.dtype)));
    }
  }
  StructureChecker checker(graph);
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    if (auto checked = checker.check(graph.ops[i]); !checked) {
      return checked.error().with_context(op_label(graph, i)).with_context("graph");
    }
  }
  return {};
}

}  // namespace secondsource
