#include "bundle/model_tensors.h"

#include <fmt/format.h>

#include <utility>

#include "core/check.h"

namespace secondsource {
namespace {

/// Collects the tensors of one layer.
class LayerTensors {
 public:
  LayerTensors(std::int64_t layer, std::vector<TensorSpec>& tensors) : layer_(layer), tensors_(&tensors) {}

  void add(std::string_view rest, Shape shape, TensorRole role) {
    tensors_->push_back({layer_tensor_name(layer_, rest), std::move(shape), role});
  }

 private:
  std::int64_t layer_;
  std::vector<TensorSpec>* tensors_;
};

void add_attention(const ModelConfig& config, LayerTensors& layer) {
  const std::int64_t q = config.q_dim();
  const std::int64_t kv = config.kv_dim();
  layer.add("self_attn.q_proj.weight", {q, config.dim}, TensorRole::kMatmul);
  layer.add("self_attn.k_proj.weight", {kv, config.dim}, TensorRole::kMatmul);
  layer.add("self_attn.v_proj.weight", {kv, config.dim}, TensorRole::kMatmul);
  if (config.qkv_bias) {
    layer.add("self_attn.q_proj.bias", {q}, TensorRole::kBias);
    layer.add("self_attn.k_proj.bias", {kv}, TensorRole::kBias);
    layer.add("self_attn.v_proj.bias", {kv}, TensorRole::kBias);
  }
  if (config.qk_norm) {
    layer.add("self_attn.q_norm.weight", {config.head_dim}, TensorRole::kNorm);
    layer.add("self_attn.k_norm.weight", {config.head_dim}, TensorRole::kNorm);
  }
  layer.add("self_attn.o_proj.weight", {config.dim, q}, TensorRole::kMatmul);
}

void add_feed_forward(const ModelConfig& config, std::int64_t index, LayerTensors& layer,
                      std::vector<TensorSpec>& tensors) {
  if (!config.is_mixture()) {
    layer.add("mlp.gate_proj.weight", {config.ffn_dim, config.dim}, TensorRole::kMatmul);
    layer.add("mlp.up_proj.weight", {config.ffn_dim, config.dim}, TensorRole::kMatmul);
    layer.add("mlp.down_proj.weight", {config.dim, config.ffn_dim}, TensorRole::kMatmul);
    return;
  }
  layer.add("block_sparse_moe.gate.weight", {config.n_experts, config.dim}, TensorRole::kRouter);
  for (std::int64_t expert = 0; expert < config.n_experts; ++expert) {
    tensors.push_back({expert_tensor_name(index, expert, "w1"), {config.ffn_dim, config.dim}, TensorRole::kMatmul});
    tensors.push_back({expert_tensor_name(index, expert, "w3"), {config.ffn_dim, config.dim}, TensorRole::kMatmul});
    tensors.push_back({expert_tensor_name(index, expert, "w2"), {config.dim, config.ffn_dim}, TensorRole::kMatmul});
  }
}

}  // namespace

std::string layer_tensor_name(std::int64_t layer, std::string_view rest) {
  return fmt::format("model.layers.{}.{}", layer, rest);
}

std::string expert_tensor_name(std::int64_t layer, std::int64_t expert, std::string_view matrix) {
  return layer_tensor_name(layer, fmt::format("block_sparse_moe.experts.{}.{}.weight", expert, matrix));
}

std::vector<TensorSpec> model_tensors(const ModelConfig& config) {
  std::vector<TensorSpec> tensors;
  tensors.push_back({std::string(kEmbeddingTensor), {config.vocab_size, config.dim}, TensorRole::kEmbedding});
  for (std::int64_t index = 0; index < config.n_layers; ++index) {
    LayerTensors layer(index, tensors);
    layer.add("input_layernorm.weight", {config.dim}, TensorRole::kNorm);
    add_attention(config, layer);
    layer.add("post_attention_layernorm.weight", {config.dim}, TensorRole::kNorm);
    add_feed_forward(config, index, layer, tensors);
  }
  tensors.push_back({std::string(kFinalNormTensor), {config.dim}, TensorRole::kNorm});
  if (!config.tied_embeddings) {
    tensors.push_back({std::string(kHeadTensor), {config.vocab_size, config.dim}, TensorRole::kMatmul});
  }
  return tensors;
}

std::int64_t n_parameters(const ModelConfig& config) {
  std::int64_t sum = 0;
  for (const TensorSpec& tensor : model_tensors(config)) {
    const auto n_elements = tensor.shape.n_elements();
    SS_CHECK(n_elements.has_value(), "parse_model_config bounds every extent");
    sum += *n_elements;
  }
  return sum;
}

}  // namespace secondsource
