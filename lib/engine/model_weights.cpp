#include "engine/model_weights.h"

#include <fmt/format.h>

#include "bundle/bundle.h"
#include "bundle/model_tensors.h"
#include "bundle/weight_source.h"
#include "core/check.h"
#include "engine/concat_source.h"

namespace secondsource {
namespace {

/// Makes the WeightSpecs one by one and passes them to the backend.
class Preparer {
 public:
  Preparer(Backend& backend, const TensorStore& tensors, const Variant& variant, Progress& progress)
      : backend_(backend), tensors_(tensors), variant_(variant), progress_(progress) {}

  /// Prepares a matrix of the rows of these tensors; for `n_experts`, expert by expert.
  Result<WeightId> matrix(std::string label, const std::vector<std::string>& names, TensorRole role, Join join,
                          std::int64_t n_experts = 1) {
    WeightSpec spec{.name = std::move(label), .parts = {}, .join = join, .n_experts = n_experts};
    for (const std::string& name : names) {
      const StoredTensor& tensor = stored(name);
      SS_TRY(spec.encoding, encoding_of(variant_, role, tensor.info.dtype.value()));
      SS_TRY(auto source, make_weight_source(tensor, spec.encoding));
      spec.n_cols = tensor.info.shape.extent(1);
      spec.n_rows += tensor.info.shape.extent(0);
      spec.parts.push_back({tensor.info.shape.extent(0), std::move(source)});
    }
    return prepare(spec);
  }

  Result<WeightId> matmul(std::string label, const std::string& name) {
    return matrix(std::move(label), {name}, TensorRole::kMatmul, Join::kNone);
  }

  /// Prepares a vector, or several vectors joined into one.
  Result<WeightId> vector(std::string label, const std::vector<std::string>& names, TensorRole role) {
    WeightSpec spec{.name = std::move(label), .n_rows = 1, .parts = {}};
    std::vector<VectorPart> parts;
    for (const std::string& name : names) {
      const StoredTensor& tensor = stored(name);
      SS_TRY(const WeightEncoding encoding, encoding_of(variant_, role, tensor.info.dtype.value()));
      if (!parts.empty() && encoding != spec.encoding) {
        return Error{ErrorCode::kUnsupported, fmt::format("{}: expected the stored type of {}, found {}", name,
                                                          names.front(), to_string(tensor.info.dtype.value()))};
      }
      spec.encoding = encoding;
      SS_TRY(auto source, make_weight_source(tensor, encoding));
      spec.n_cols += tensor.info.shape.extent(0);
      parts.push_back({tensor.info.shape.extent(0), std::move(source)});
    }
    spec.parts.push_back(
        {1, parts.size() == 1 ? parts.front().source : concat_vectors(std::move(parts), spec.encoding)});
    return prepare(spec);
  }

  /// True if the variant stores this tensor in the same encoding as an embedding and as a matmul weight.
  Result<bool> is_stored_alike(const std::string& name) const {
    const DType dtype = stored(name).info.dtype.value();
    SS_TRY(const WeightEncoding embedded, encoding_of(variant_, TensorRole::kEmbedding, dtype));
    SS_TRY(const WeightEncoding multiplied, encoding_of(variant_, TensorRole::kMatmul, dtype));
    return embedded == multiplied;
  }

  [[nodiscard]] std::map<WeightId, WeightExtent> take_extents() { return std::move(extents_); }

 private:
  const StoredTensor& stored(const std::string& name) const {
    const StoredTensor* tensor = tensors_.find(name);
    SS_CHECK(tensor != nullptr, "check_tensors() passed");
    return *tensor;
  }

  Result<WeightId> prepare(const WeightSpec& spec) {
    auto id = backend_.prepare_weight(spec);
    if (!id) return id.error().with_context(fmt::format("weight {}", spec.name));
    extents_[*id] = {.bytes = encoded_bytes(spec.encoding, spec.n_rows, spec.n_cols),
                     .n_rows = spec.n_rows,
                     .n_experts = spec.n_experts};
    progress_.update(++n_prepared_);
    return id;
  }

  Backend& backend_;
  const TensorStore& tensors_;
  const Variant& variant_;
  Progress& progress_;
  std::int64_t n_prepared_ = 0;
  std::map<WeightId, WeightExtent> extents_;
};

Result<void> prepare_ffn(Preparer& preparer, const ModelConfig& config, std::int64_t layer, LayerWeights& weights) {
  const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.{}", layer, rest); };
  const auto name = [&](std::string_view rest) { return layer_tensor_name(layer, rest); };
  if (!config.is_mixture()) {
    SS_TRY(weights.gate_up,
           preparer.matrix(label("ffn.gate_up"), {name("mlp.gate_proj.weight"), name("mlp.up_proj.weight")},
                           TensorRole::kMatmul, Join::kInterleaveGateUp));
    SS_TRY(weights.down, preparer.matmul(label("ffn.down"), name("mlp.down_proj.weight")));
    return {};
  }
  SS_TRY(weights.router, preparer.matrix(label("ffn.router"), {name("block_sparse_moe.gate.weight")},
                                         TensorRole::kRouter, Join::kNone));
  std::vector<std::string> gate_up;
  std::vector<std::string> down;
  for (std::int64_t expert = 0; expert < config.n_experts; ++expert) {
    gate_up.push_back(expert_tensor_name(layer, expert, "w1"));
    gate_up.push_back(expert_tensor_name(layer, expert, "w3"));
    down.push_back(expert_tensor_name(layer, expert, "w2"));
  }
  SS_TRY(weights.gate_up, preparer.matrix(label("ffn.gate_up"), gate_up, TensorRole::kMatmul, Join::kInterleaveGateUp,
                                          config.n_experts));
  SS_TRY(weights.down,
         preparer.matrix(label("ffn.down"), down, TensorRole::kMatmul, Join::kConcatRows, config.n_experts));
  return {};
}

Result<LayerWeights> prepare_layer(Preparer& preparer, const ModelConfig& config, std::int64_t layer) {
  const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.{}", layer, rest); };
  const auto name = [&](std::string_view rest) { return layer_tensor_name(layer, rest); };
  LayerWeights weights;
  SS_TRY(weights.attention_norm,
         preparer.vector(label("attention.norm"), {name("input_layernorm.weight")}, TensorRole::kNorm));
  SS_TRY(weights.qkv, preparer.matrix(label("attention.qkv"),
                                      {name("self_attn.q_proj.weight"), name("self_attn.k_proj.weight"),
                                       name("self_attn.v_proj.weight")},
                                      TensorRole::kMatmul, Join::kConcatRows));
  if (config.qkv_bias) {
    SS_TRY(weights.qkv_bias, preparer.vector(label("attention.qkv_bias"),
                                             {name("self_attn.q_proj.bias"), name("self_attn.k_proj.bias"),
                                              name("self_attn.v_proj.bias")},
                                             TensorRole::kBias));
  }
  if (config.qk_norm) {
    SS_TRY(weights.q_norm,
           preparer.vector(label("attention.q_norm"), {name("self_attn.q_norm.weight")}, TensorRole::kNorm));
    SS_TRY(weights.k_norm,
           preparer.vector(label("attention.k_norm"), {name("self_attn.k_norm.weight")}, TensorRole::kNorm));
  }
  SS_TRY(weights.attention_out, preparer.matmul(label("attention.out"), name("self_attn.o_proj.weight")));
  SS_TRY(weights.ffn_norm,
         preparer.vector(label("ffn.norm"), {name("post_attention_layernorm.weight")}, TensorRole::kNorm));
  SS_TRY_VOID(prepare_ffn(preparer, config, layer, weights));
  return weights;
}

}  // namespace

ActQuant activation_quantization(const Variant& variant) {
  return variant.quantizes_activations ? ActQuant::kInt8PerRow : ActQuant::kNone;
}

Result<ModelWeights> prepare_model_weights(Backend& backend, const ModelConfig& config, const TensorStore& tensors,
                                           const Variant& variant, std::string_view name, Progress& progress) {
  SS_TRY_VOID(check_tensors(config, tensors, name));
  if (const Support support = backend.supports_weight(variant.matmul, activation_quantization(variant));
      !support.supported) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("backend {}: variant {}: {}", backend.device().backend, variant.name, support.reason)};
  }
  progress.begin(fmt::format("preparing {} weights", variant.name), 0);
  Preparer preparer(backend, tensors, variant, progress);
  ModelWeights weights;
  const std::string embedding(kEmbeddingTensor);
  SS_TRY(weights.embedding, preparer.matrix("embedding", {embedding}, TensorRole::kEmbedding, Join::kNone));
  for (std::int64_t layer = 0; layer < config.n_layers; ++layer) {
    SS_TRY(const LayerWeights prepared, prepare_layer(preparer, config, layer));
    weights.layers.push_back(prepared);
  }
  SS_TRY(weights.final_norm, preparer.vector("final_norm", {std::string(kFinalNormTensor)}, TensorRole::kNorm));
  SS_TRY(const bool one_weight, preparer.is_stored_alike(embedding));
  if (config.tied_embeddings && one_weight) {
    weights.head = weights.embedding;  // prepared once, for lookups and for the matmul
  } else {
    SS_TRY(weights.head, preparer.matmul("head", config.tied_embeddings ? embedding : std::string(kHeadTensor)));
  }
  weights.extents = preparer.take_extents();
  return weights;
}

}  // namespace secondsource
