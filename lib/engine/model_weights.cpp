#include "engine/model_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>

#include "bundle/bundle.h"
#include "bundle/model_tensors.h"
#include "bundle/published_weights.h"
#include "bundle/weight_source.h"
#include "core/check.h"
#include "engine/concat_source.h"
#include "engine/weight_views.h"

namespace secondsource {
namespace {

/// Rows of a matrix; if `order` is not empty, they are heads that are brought into that order, which the boundary
/// requires.
struct MatrixPart {
  TensorRows rows;
  HeadOrder order = {};
};

/// A vector, likewise.
struct VectorPiece {
  std::string tensor;
  HeadOrder order = {};
};

/// Which of q, k and v are joined into one matrix, so that a single product computes them.
enum class JoinedProjections : std::uint8_t {
  kAll,
  kQueriesAndKeys,  ///< in half of the layers of what llama.cpp calls Q4_K_M, v has another type
  kNone,  ///< k has another type than q in llama.cpp's files of Mixtral-8x7B, and in others with a choice of types for each tensor
};

/// The unit of the progress.
constexpr std::int64_t in_millions(std::int64_t n_elements) {
  return n_elements / 1'000'000;
}

/// Makes the WeightSpecs one by one and passes them to the backend.
class Preparer {
 public:
  Preparer(Backend& backend, const TensorStore& tensors, const Variant& variant, Progress& progress,
           const InterruptFlag& interrupt)
      : backend_(backend), tensors_(tensors), variant_(variant), progress_(progress), interrupt_(interrupt) {}

  /// Prepares a matrix from these rows; with `n_experts` > 1, the parts are those of one expert after the other.
  Result<WeightId> matrix(std::string label, const std::vector<MatrixPart>& parts, Join join,
                          std::int64_t n_experts = 1, TensorRole role = TensorRole::kMatmul) {
    WeightSpec spec{.name = std::move(label), .parts = {}, .join = join, .n_experts = n_experts};
    SS_TRY(const StoredForm form, common_form(parts, role, n_experts));
    spec.encoding = form.encoding;
    for (const MatrixPart& part : parts) {
      const StoredTensor& tensor = stored(part.rows.tensor);
      const std::int64_t n_rows = part.rows.n_rows;
      if (part.rows.transposed_matrix) {
        SS_TRY(auto columns, make_column_source(tensor,
                                                {.matrix = *part.rows.transposed_matrix,
                                                 .first_column = part.rows.first_row,
                                                 .step = part.rows.step,
                                                 .n_columns = n_rows,
                                                 .first_input = part.rows.first_input,
                                                 .n_inputs = part.rows.n_inputs},
                                                spec.encoding));
        spec.n_cols = part.rows.n_inputs > 0 ? part.rows.n_inputs : tensor.info.shape.extent(1);
        spec.n_rows += n_rows;
        spec.parts.push_back({n_rows, std::move(columns)});
        continue;
      }
      SS_TRY(auto source, make_weight_source(tensor, spec.encoding));
      spec.n_cols = tensor.info.shape.extent(tensor.info.shape.rank() - 1);
      if (n_rows != n_rows_of(tensor.info.shape) || !part.order.empty()) {
        source = view_rows(std::move(source), {part.rows.first_row, n_rows, part.order}, {spec.n_cols, spec.encoding});
      }
      spec.n_rows += n_rows;
      spec.parts.push_back({n_rows, std::move(source)});
    }
    if (n_experts > 1 && !form.order.empty()) {
      SS_TRY(const std::vector<std::int32_t> orders, orders_of_experts(parts, role, n_experts));
      return prepare(spec, form, orders);
    }
    return prepare(spec, form);
  }

  Result<WeightId> matmul(std::string label, const TensorRows& rows) {
    return matrix(std::move(label), {{rows}}, Join::kNone);
  }

  /// Prepares a whole tensor as a matrix.
  Result<WeightId> table(std::string label, const std::string& name, TensorRole role) {
    const StoredTensor& tensor = stored(name);
    WeightSpec spec{.name = std::move(label),
                    .n_rows = tensor.info.shape.extent(0),
                    .n_cols = tensor.info.shape.extent(1),
                    .parts = {}};
    SS_TRY(spec.encoding, encoding_of(variant_, role, tensor));
    SS_TRY(auto source, make_weight_source(tensor, spec.encoding));
    spec.parts.push_back({spec.n_rows, std::move(source)});
    return prepare(spec, stored_form(tensor, spec.encoding));
  }

  /// Prepares a vector, or several vectors joined into one. A tensor with several rows becomes a vector of its values,
  /// row after row.
  Result<WeightId> vector(std::string label, const std::vector<VectorPiece>& pieces, TensorRole role) {
    WeightSpec spec{.name = std::move(label), .n_rows = 1, .parts = {}};
    std::vector<VectorPart> parts;
    for (const VectorPiece& piece : pieces) {
      const StoredTensor& tensor = stored(piece.tensor);
      SS_TRY(const WeightEncoding encoding, encoding_of(variant_, role, tensor));
      if (!parts.empty() && encoding != spec.encoding) {
        return Error{ErrorCode::kUnsupported, fmt::format("{}: expected the stored type of {}, found {}", piece.tensor,
                                                          pieces.front().tensor, to_string(tensor.info.dtype.value()))};
      }
      spec.encoding = encoding;
      SS_TRY(auto source, make_weight_source(tensor, encoding));
      const std::int64_t n_rows = n_rows_of(tensor.info.shape);
      const std::int64_t n_cols = *tensor.info.shape.n_elements();
      if (n_rows > 1) source = flatten_rows(std::move(source), n_rows, {n_cols / n_rows, encoding});
      if (!piece.order.empty()) source = reorder_vector(std::move(source), piece.order, {n_cols, encoding});
      spec.n_cols += n_cols;
      parts.push_back({n_cols, std::move(source)});
    }
    spec.parts.push_back(
        {1, parts.size() == 1 ? parts.front().source : concat_vectors(std::move(parts), spec.encoding)});
    return prepare(spec, {.encoding = spec.encoding});
  }

  /// Prepares the weight of a norm with its offset and factor applied; for a norm of heads, in the order of the heads'
  /// elements.
  Result<WeightId> norm(std::string label, const std::string& name, NormMeaning meaning, const HeadOrder& order = {}) {
    if (meaning.is_plain()) return vector(std::move(label), {{name, order}}, TensorRole::kNorm);
    const StoredTensor& tensor = stored(name);
    SS_TRY(const WeightEncoding encoding, encoding_of(variant_, TensorRole::kNorm, tensor));
    SS_TRY(auto source, make_weight_source(tensor, encoding));
    const RowShape shape{tensor.info.shape.extent(0), encoding};
    if (!order.empty()) source = reorder_vector(std::move(source), order, shape);
    const WeightSpec spec{.name = std::move(label),
                          .n_rows = 1,
                          .n_cols = shape.n_cols,
                          .encoding = WeightEncoding::kF32,
                          .parts = {{1, adjust_vector(std::move(source), meaning, shape)}}};
    return prepare(spec, {.encoding = spec.encoding});
  }

  /// Which of q, k and v are joined: only those with equal forms, because a matrix has a single form.
  Result<JoinedProjections> joined_projections(const AttentionTensors& tensors) const {
    SS_TRY(const StoredForm q, form_of(tensors.q, TensorRole::kMatmul));
    SS_TRY(const StoredForm k, form_of(tensors.k, TensorRole::kMatmul));
    SS_TRY(const StoredForm v, form_of(tensors.v, TensorRole::kMatmul));
    if (q != k) return JoinedProjections::kNone;
    return v == q ? JoinedProjections::kAll : JoinedProjections::kQueriesAndKeys;
  }

  /// True if the variant encodes this tensor alike as an embedding and as a matmul weight.
  Result<bool> is_stored_alike(const std::string& name) const {
    SS_TRY(const WeightEncoding embedded, encoding_of(variant_, TensorRole::kEmbedding, stored(name)));
    SS_TRY(const WeightEncoding multiplied, encoding_of(variant_, TensorRole::kMatmul, stored(name)));
    return embedded == multiplied;
  }

  [[nodiscard]] std::map<WeightId, WeightExtent> take_extents() { return std::move(extents_); }
  [[nodiscard]] std::map<WeightId, std::vector<std::int32_t>> take_column_orders() { return std::move(column_orders_); }
  [[nodiscard]] std::map<WeightId, float> take_input_scales() { return std::move(input_scales_); }

 private:
  const StoredTensor& stored(const std::string& name) const {
    const StoredTensor* tensor = tensors_.find(name);
    SS_CHECK(tensor != nullptr, "check_tensors() passed");
    return *tensor;
  }

  /// Properties that all parts of a matrix must share.
  struct StoredForm {
    WeightEncoding encoding{};
    std::span<const std::int32_t> order = {};  ///< of the columns, as column_order_of() has it
    float input_scale = 0.0F;                  ///< PublishedWeight::input_scale
    friend bool operator==(const StoredForm& a, const StoredForm& b) {
      return a.encoding == b.encoding && std::ranges::equal(a.order, b.order) && a.input_scale == b.input_scale;
    }
  };

  static StoredForm stored_form(const StoredTensor& tensor, WeightEncoding encoding) {
    const bool has_codes = tensor.published && encoding == tensor.published->form.encoding;
    return {encoding, column_order_of(tensor, encoding), has_codes ? tensor.published->input_scale : 0.0F};
  }

  Result<StoredForm> form_of(const TensorRows& rows, TensorRole role) const {
    const StoredTensor& tensor = stored(rows.tensor);
    SS_TRY(const WeightEncoding encoding, encoding_of(variant_, role, tensor));
    return stored_form(tensor, encoding);
  }

  /// The common form of all parts of a matrix. If a published checkpoint stores the parts in different forms, the
  /// result is FP32, which holds the values of all. Each expert may have its own order of columns, which all of its
  /// parts must share, because a token's input for an expert is brought into that order; the result then has the first
  /// order that occurs. For experts the largest scale of inputs is used.
  Result<StoredForm> common_form(const std::vector<MatrixPart>& parts, TensorRole role, std::int64_t n_experts) const {
    constexpr StoredForm kByValues{WeightEncoding::kF32};
    SS_TRY(StoredForm first, form_of(parts.front().rows, role));
    if (n_experts > 1 && first.input_scale > 0.0F) {
      for (const MatrixPart& part : parts) {
        SS_TRY(const StoredForm form, form_of(part.rows, role));
        first.input_scale = std::max(first.input_scale, form.input_scale);
      }
    }
    const std::size_t parts_of_expert = parts.size() / static_cast<std::size_t>(n_experts);
    StoredForm of_expert = first;  // of the first part of the current expert
    std::span<const std::int32_t> any_order = first.order;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      SS_TRY(StoredForm form, form_of(parts[i].rows, role));
      if (n_experts > 1) form.input_scale = first.input_scale;
      if (n_experts > 1 && i % parts_of_expert == 0) of_expert.order = form.order;
      if (any_order.empty()) any_order = form.order;
      const bool has_order_of_expert = std::ranges::equal(form.order, of_expert.order);
      if (form == of_expert || (!variant_.is_published() && has_order_of_expert)) continue;
      if (form.input_scale == first.input_scale || !variant_.is_published()) return kByValues;
      return Error{ErrorCode::kUnsupported,
                   fmt::format("{} and {}: expected one scale of inputs, found {} and {}", parts.front().rows.tensor,
                               parts[i].rows.tensor, first.input_scale, form.input_scale)};
    }
    first.order = any_order;
    return first;
  }

  /// The orders of columns of experts with a common form: a single order if all agree, otherwise one for each expert,
  /// expert after expert. An expert without an order has the model's.
  Result<std::vector<std::int32_t>> orders_of_experts(const std::vector<MatrixPart>& parts, TensorRole role,
                                                      std::int64_t n_experts) const {
    std::vector<std::int32_t> orders;
    std::size_t n_cols = 0;
    bool are_equal = true;
    for (std::size_t i = 0; i < parts.size(); i += parts.size() / static_cast<std::size_t>(n_experts)) {
      SS_TRY(const StoredForm form, form_of(parts[i].rows, role));
      const Shape& shape = stored(parts[i].rows.tensor).info.shape;
      n_cols = static_cast<std::size_t>(shape.extent(shape.rank() - 1));
      const std::size_t first = orders.size();
      orders.resize(first + n_cols);
      const std::span<std::int32_t> own = std::span(orders).subspan(first);
      if (form.order.empty()) {
        std::iota(own.begin(), own.end(), 0);
      } else {
        std::ranges::copy(form.order, own.begin());
      }
      are_equal = are_equal && std::ranges::equal(own, std::span(orders).first(n_cols));
    }
    if (are_equal) orders.resize(n_cols);
    return orders;
  }

  Result<WeightId> prepare(const WeightSpec& spec, const StoredForm& form) { return prepare(spec, form, form.order); }

  /// `order` is the order of the columns, as in ModelWeights::column_orders; empty for the model's order.
  Result<WeightId> prepare(const WeightSpec& spec, const StoredForm& form, std::span<const std::int32_t> order) {
    SS_TRY_VOID(interrupt_.check());
    auto id = backend_.prepare_weight(spec);
    if (!id) return id.error().with_context(fmt::format("weight {}", spec.name));
    extents_[*id] = {.bytes = encoded_bytes(spec.encoding, spec.n_rows, spec.n_cols),
                     .n_rows = spec.n_rows,
                     .n_experts = spec.n_experts,
                     .encoding = spec.encoding};
    if (!order.empty()) column_orders_[*id].assign(order.begin(), order.end());
    if (form.input_scale > 0.0F) input_scales_[*id] = form.input_scale;
    n_prepared_ += spec.n_rows * spec.n_cols;
    progress_.update(in_millions(n_prepared_));
    return id;
  }

  Backend& backend_;
  const TensorStore& tensors_;
  const Variant& variant_;
  Progress& progress_;
  const InterruptFlag& interrupt_;
  std::int64_t n_prepared_ = 0;  ///< elements of the weights so far
  std::map<WeightId, WeightExtent> extents_;
  std::map<WeightId, std::vector<std::int32_t>> column_orders_;
  std::map<WeightId, float> input_scales_;
};

/// If gate and up rows alternate, the order that puts the gate rows of each expert before its up rows.
HeadOrder gate_before_up(std::int64_t ffn_dim) {
  HeadOrder order(static_cast<std::size_t>(2 * ffn_dim));
  for (std::int64_t i = 0; i < ffn_dim; ++i) {
    order[static_cast<std::size_t>(i)] = 2 * i;
    order[static_cast<std::size_t>(ffn_dim + i)] = 2 * i + 1;
  }
  return order;
}

Result<void> prepare_ffn(Preparer& preparer, const ModelConfig& config, std::int64_t layer, LayerWeights& weights) {
  const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.{}", layer, rest); };
  if (!config.is_mixture_layer(layer)) {
    const FfnTensors network = ffn_tensors(config, layer);
    if (!config.gated_ffn) {
      SS_TRY(weights.gate_up, preparer.matmul(label("ffn.up"), network.up));
      SS_TRY(weights.down, preparer.matmul(label("ffn.down"), network.down));
      if (!config.ffn_bias) return {};
      SS_TRY(weights.gate_up_bias,
             preparer.vector(label("ffn.up_bias"), {{bias_name(network.up.tensor)}}, TensorRole::kBias));
      SS_TRY(weights.down_bias,
             preparer.vector(label("ffn.down_bias"), {{bias_name(network.down.tensor)}}, TensorRole::kBias));
      return {};
    }
    SS_TRY(weights.gate_up,
           preparer.matrix(label("ffn.gate_up"), {{network.gate}, {network.up}}, Join::kInterleaveGateUp));
    SS_TRY(weights.down, preparer.matmul(label("ffn.down"), network.down));
    if (!config.ffn_bias) return {};
    SS_TRY(weights.gate_up_bias,
           preparer.vector(label("ffn.gate_up_bias"),
                           {{bias_name(network.gate.tensor)}, {bias_name(network.up.tensor)}}, TensorRole::kBias));
    SS_TRY(weights.down_bias,
           preparer.vector(label("ffn.down_bias"), {{bias_name(network.down.tensor)}}, TensorRole::kBias));
    return {};
  }
  SS_TRY(weights.router, preparer.table(label("ffn.router"), router_tensor_name(config, layer), TensorRole::kRouter));
  std::vector<MatrixPart> gate_up;
  std::vector<MatrixPart> down;
  for (std::int64_t expert = 0; expert < config.n_experts; ++expert) {
    const FfnTensors network = expert_tensors(config, layer, expert);
    gate_up.push_back({network.gate});
    gate_up.push_back({network.up});
    down.push_back({network.down});
  }
  SS_TRY(weights.gate_up, preparer.matrix(label("ffn.gate_up"), gate_up, Join::kInterleaveGateUp, config.n_experts));
  SS_TRY(weights.down, preparer.matrix(label("ffn.down"), down, Join::kConcatRows, config.n_experts));
  if (config.expert_biases) {
    const std::string router_bias = bias_name(router_tensor_name(config, layer));
    const ExpertBiases biases = expert_bias_names(layer);
    SS_TRY(weights.router_bias, preparer.vector(label("ffn.router_bias"), {{router_bias}}, TensorRole::kBias));
    SS_TRY(weights.gate_up_bias,
           preparer.vector(label("ffn.gate_up_bias"), {{biases.gate_up, gate_before_up(config.expert_ffn_dim)}},
                           TensorRole::kBias));
    SS_TRY(weights.down_bias, preparer.vector(label("ffn.down_bias"), {{biases.down}}, TensorRole::kBias));
  }
  if (config.sigmoid_experts) {
    SS_TRY(weights.choice_bias,
           preparer.vector(label("ffn.choice_bias"), {{choice_bias_name(layer)}}, TensorRole::kChoiceBias));
  }
  if (config.shared_ffn_dim == 0) return {};
  const FfnTensors network = shared_expert_tensors(config, layer);
  SharedExpert shared;
  if (config.shared_gate) {
    SS_TRY(shared.gate, preparer.table(label("ffn.shared_gate"), shared_gate_tensor_name(layer), TensorRole::kRouter));
  } else if (config.ffn_bias) {
    SS_TRY(shared.gate_up_bias,
           preparer.vector(label("ffn.shared_gate_up_bias"),
                           {{bias_name(network.gate.tensor)}, {bias_name(network.up.tensor)}}, TensorRole::kBias));
    SS_TRY(shared.down_bias,
           preparer.vector(label("ffn.shared_down_bias"), {{bias_name(network.down.tensor)}}, TensorRole::kBias));
  }
  SS_TRY(shared.gate_up,
         preparer.matrix(label("ffn.shared_gate_up"), {{network.gate}, {network.up}}, Join::kInterleaveGateUp));
  SS_TRY(shared.down, preparer.matmul(label("ffn.shared_down"), network.down));
  weights.shared = shared;
  return {};
}

Result<LatentWeights> prepare_latent(Preparer& preparer, const ModelConfig& config, std::int64_t layer) {
  const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.attention.{}", layer, rest); };
  const auto name = [&](std::string_view rest) { return layer_tensor_name(layer, rest); };
  const HeadOrder of_queries = latent_order_of(config, config.latent.plain_dim);
  const HeadOrder of_latent = latent_order_of(config, config.latent.kv_rank);
  const LatentTensors tensors = latent_tensors(config, layer);
  LatentWeights weights;
  if (config.latent.q_rank > 0) {
    SS_TRY(weights.q_a, preparer.matmul(label("q_a"), tensors.q_a));
    if (config.qkv_bias) {
      SS_TRY(weights.q_a_bias,
             preparer.vector(label("q_a_bias"), {{bias_name(tensors.q_a.tensor)}}, TensorRole::kBias));
    }
    SS_TRY(weights.q_norm, preparer.norm(label("q_norm"), name(kQueryLatentNorm), {}));
  }
  SS_TRY(weights.q_b, preparer.matrix(label("q_b"), {{tensors.q_b, of_queries}}, Join::kNone));
  SS_TRY(weights.kv_a, preparer.matrix(label("kv_a"), {{tensors.kv_a, of_latent}}, Join::kNone));
  if (config.qkv_bias) {
    SS_TRY(weights.kv_a_bias,
           preparer.vector(label("kv_a_bias"), {{bias_name(tensors.kv_a.tensor), of_latent}}, TensorRole::kBias));
  }
  SS_TRY(weights.kv_norm, preparer.norm(label("kv_norm"), name(kLatentNorm), {}));
  std::vector<MatrixPart> query_heads;
  std::vector<MatrixPart> value_heads;
  for (std::int64_t head = 0; head < config.n_heads; ++head) {
    const LatentHead of_head = latent_head(config, layer, head);
    query_heads.push_back({of_head.query});
    value_heads.push_back({of_head.value});
  }
  SS_TRY(weights.query_heads,
         preparer.matrix(label("query_heads"), query_heads, Join::kConcatRows, config.n_heads, TensorRole::kLatent));
  SS_TRY(weights.value_heads,
         preparer.matrix(label("value_heads"), value_heads, Join::kConcatRows, config.n_heads, TensorRole::kLatent));
  return weights;
}

/// Prepares the weights of q, k and v; those with equal forms are joined.
Result<void> prepare_projections(Preparer& preparer, const ModelConfig& config, std::int64_t layer,
                                 const HeadOrder& order, LayerWeights& weights) {
  const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.attention.{}", layer, rest); };
  const auto name = [&](std::string_view rest) { return layer_tensor_name(layer, rest); };
  const AttentionTensors projections = attention_tensors(config, layer);
  SS_TRY(const JoinedProjections form, preparer.joined_projections(projections));
  struct Projection {
    MatrixPart rows;
    VectorPiece bias;
  };
  const Projection q{{projections.q, order}, {name("self_attn.q_proj.bias"), order}};
  const Projection k{{projections.k, order}, {name("self_attn.k_proj.bias"), order}};
  const Projection v{{projections.v}, {name("self_attn.v_proj.bias")}};
  const auto prepare = [&](const std::string& what, const std::vector<Projection>& joined, WeightId& weight,
                           std::optional<WeightId>& bias) -> Result<void> {
    std::vector<MatrixPart> rows;
    std::vector<VectorPiece> biases;
    for (const Projection& projection : joined) {
      rows.push_back(projection.rows);
      biases.push_back(projection.bias);
    }
    SS_TRY(weight, preparer.matrix(label(what), rows, rows.size() > 1 ? Join::kConcatRows : Join::kNone));
    if (config.qkv_bias) {
      SS_TRY(bias, preparer.vector(label(what + "_bias"), biases, TensorRole::kBias));
    }
    return {};
  };
  switch (form) {
    case JoinedProjections::kAll:
      return prepare("qkv", {q, k, v}, weights.qkv, weights.qkv_bias);
    case JoinedProjections::kQueriesAndKeys:
      SS_TRY_VOID(prepare("qk", {q, k}, weights.qkv, weights.qkv_bias));
      return prepare("v", {v}, weights.v.emplace(), weights.v_bias);
    case JoinedProjections::kNone:
      SS_TRY_VOID(prepare("q", {q}, weights.qkv, weights.qkv_bias));
      SS_TRY_VOID(prepare("k", {k}, weights.k.emplace(), weights.k_bias));
      return prepare("v", {v}, weights.v.emplace(), weights.v_bias);
  }
  return {};
}

Result<LayerWeights> prepare_layer(Preparer& preparer, const ModelConfig& config, std::int64_t layer) {
  const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.{}", layer, rest); };
  const auto name = [&](std::string_view rest) { return layer_tensor_name(layer, rest); };
  const HeadOrder order = config.latent.is_present() ? HeadOrder() : head_order_of(config);
  LayerWeights weights;
  const NormMeaning meaning{.offset = config.norms_add_one ? 1.0F : 0.0F};
  if (config.has_norms_before()) {
    SS_TRY(weights.attention_norm, preparer.norm(label("attention.norm"), name(kAttentionNorm), meaning));
    if (!config.parallel_blocks) {
      SS_TRY(weights.ffn_norm, preparer.norm(label("ffn.norm"), name(ffn_norm_name(config)), meaning));
    }
  }
  if (config.norm_biases) {
    const std::string of_attention = bias_name(name(kAttentionNorm));
    const std::string of_network = bias_name(name(ffn_norm_name(config)));
    SS_TRY(weights.attention_norm_bias,
           preparer.vector(label("attention.norm_bias"), {{of_attention}}, TensorRole::kBias));
    SS_TRY(weights.ffn_norm_bias, preparer.vector(label("ffn.norm_bias"), {{of_network}}, TensorRole::kBias));
  }
  if (config.latent.is_present()) {
    SS_TRY(weights.latent, prepare_latent(preparer, config, layer));
  } else {
    SS_TRY_VOID(prepare_projections(preparer, config, layer, order, weights));
  }
  if (config.qk_norm != QkNorm::kNone) {
    SS_TRY(weights.q_norm, preparer.norm(label("attention.q_norm"), name("self_attn.q_norm.weight"), meaning, order));
    SS_TRY(weights.k_norm, preparer.norm(label("attention.k_norm"), name("self_attn.k_norm.weight"), meaning, order));
  }
  if (config.attention_sinks) {
    SS_TRY(weights.sinks, preparer.vector(label("attention.sinks"), {{name(kSinks)}}, TensorRole::kBias));
  }
  SS_TRY(weights.attention_out,
         preparer.matmul(label("attention.out"), {name("self_attn.o_proj.weight"), 0, config.dim}));
  if (config.out_bias) {
    SS_TRY(weights.out_bias,
           preparer.vector(label("attention.out_bias"), {{name("self_attn.o_proj.bias")}}, TensorRole::kBias));
  }
  if (config.has_norms_after()) {
    SS_TRY(weights.post_attention_norm, preparer.norm(label("attention.post_norm"), name(kPostAttentionNorm), meaning));
    SS_TRY(weights.post_ffn_norm, preparer.norm(label("ffn.post_norm"), name(kPostFfnNorm), meaning));
  }
  SS_TRY_VOID(prepare_ffn(preparer, config, layer, weights));
  return weights;
}

}  // namespace

Result<ModelWeights> prepare_model_weights(Backend& backend, const ModelConfig& config, const TensorStore& tensors,
                                           const Variant& variant, std::string_view name, Progress& progress,
                                           const InterruptFlag& interrupt) {
  SS_TRY_VOID(check_tensors(config, tensors, name));
  if (variant.is_published() && variant.name != tensors.published_variant()) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{}: variant {}: expected weights that are stored so, found {}", name, variant.name,
                             tensors.published_variant().empty() ? "none" : tensors.published_variant())};
  }
  if (const Support support = backend.supports_weight(variant.matmul, variant.activations); !support.supported) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("backend {}: variant {}: {}", backend.device().backend, variant.name, support.reason)};
  }
  const std::string embedding(kEmbeddingTensor);
  Preparer preparer(backend, tensors, variant, progress, interrupt);
  SS_TRY(const bool one_weight, preparer.is_stored_alike(embedding));
  const bool is_embedding_prepared_twice = config.tied_embeddings && !one_weight;
  const std::int64_t n_elements =
      n_parameters(config) + (is_embedding_prepared_twice ? config.vocab_size * config.dim : 0);
  progress.begin(fmt::format("preparing {} weights (million parameters)", variant.name), in_millions(n_elements));
  ModelWeights weights;
  SS_TRY(weights.embedding, preparer.table("embedding", embedding, TensorRole::kEmbedding));
  for (std::int64_t layer = 0; layer < config.n_layers; ++layer) {
    SS_TRY(const LayerWeights prepared, prepare_layer(preparer, config, layer));
    weights.layers.push_back(prepared);
  }
  SS_TRY(weights.final_norm, preparer.norm("final_norm", std::string(kFinalNormTensor),
                                           {.offset = config.norms_add_one ? 1.0F : 0.0F,
                                            .factor = static_cast<float>(config.logit_scale)}));
  if (config.norm_biases) {
    SS_CHECK(config.logit_scale == 1.0, "a factor of the logits is folded into the norm's weight alone");
    SS_TRY(weights.final_norm_bias,
           preparer.vector("final_norm_bias", {{bias_name(kFinalNormTensor)}}, TensorRole::kBias));
  }
  if (config.tied_embeddings && one_weight) {
    weights.head = weights.embedding;  // prepared once, for lookups and for the matmul
  } else {
    SS_TRY(weights.head,
           preparer.table("head", config.tied_embeddings ? embedding : std::string(kHeadTensor), TensorRole::kMatmul));
  }
  weights.extents = preparer.take_extents();
  weights.column_orders = preparer.take_column_orders();
  weights.input_scales = preparer.take_input_scales();
  return weights;
}

}  // namespace secondsource
