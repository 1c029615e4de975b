#include "bundle/model_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>
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

void add_latent_attention(const ModelConfig& config, LayerTensors& layer) {
  const LatentAttention& latent = config.latent;
  const std::int64_t queries = config.n_heads * latent.qk_dim();
  if (latent.q_rank > 0) {
    layer.add("self_attn.q_a_proj.weight", {latent.q_rank, config.dim}, TensorRole::kMatmul);
    if (config.qkv_bias) layer.add("self_attn.q_a_proj.bias", {latent.q_rank}, TensorRole::kBias);
    layer.add(kQueryLatentNorm, {latent.q_rank}, TensorRole::kNorm);
    layer.add("self_attn.q_b_proj.weight", {queries, latent.q_rank}, TensorRole::kMatmul);
  } else {
    layer.add("self_attn.q_proj.weight", {queries, config.dim}, TensorRole::kMatmul);
  }
  const std::int64_t n_cached = latent.kv_rank + latent.rotary_dim;
  layer.add("self_attn.kv_a_proj_with_mqa.weight", {n_cached, config.dim}, TensorRole::kMatmul);
  if (config.qkv_bias) layer.add("self_attn.kv_a_proj_with_mqa.bias", {n_cached}, TensorRole::kBias);
  layer.add(kLatentNorm, {latent.kv_rank}, TensorRole::kNorm);
  layer.add("self_attn.kv_b_proj.weight", {config.n_heads * (latent.plain_dim + latent.value_dim), latent.kv_rank},
            TensorRole::kLatent);
  layer.add("self_attn.o_proj.weight", {config.dim, config.n_heads * latent.value_dim}, TensorRole::kMatmul);
  if (config.out_bias) layer.add("self_attn.o_proj.bias", {config.dim}, TensorRole::kBias);
}

/// The shape of the weights of q's norm, or of k's, which has `n_heads` heads.
Shape head_norm_shape(const ModelConfig& config, std::int64_t n_heads) {
  if (config.qk_norm == QkNorm::kAllHeads) return {n_heads * config.head_dim};
  if (config.qk_norm == QkNorm::kEachHeadCentered) return {n_heads, config.head_dim};
  return {config.head_dim};
}

void add_attention(const ModelConfig& config, LayerTensors& layer) {
  if (config.latent.is_present()) return add_latent_attention(config, layer);
  const std::int64_t q = config.q_dim();
  const std::int64_t kv = config.kv_dim();
  if (config.fused_projections) {
    layer.add("self_attn.qkv_proj.weight", {q + 2 * kv, config.dim}, TensorRole::kMatmul);
  } else {
    layer.add("self_attn.q_proj.weight", {q, config.dim}, TensorRole::kMatmul);
    layer.add("self_attn.k_proj.weight", {kv, config.dim}, TensorRole::kMatmul);
    layer.add("self_attn.v_proj.weight", {kv, config.dim}, TensorRole::kMatmul);
  }
  if (config.qkv_bias) {
    layer.add("self_attn.q_proj.bias", {q}, TensorRole::kBias);
    layer.add("self_attn.k_proj.bias", {kv}, TensorRole::kBias);
    layer.add("self_attn.v_proj.bias", {kv}, TensorRole::kBias);
  }
  if (config.qk_norm != QkNorm::kNone) {
    layer.add("self_attn.q_norm.weight", head_norm_shape(config, config.n_heads), TensorRole::kNorm);
    layer.add("self_attn.k_norm.weight", head_norm_shape(config, config.n_kv_heads), TensorRole::kNorm);
  }
  if (config.attention_sinks) layer.add(kSinks, {config.n_heads}, TensorRole::kBias);
  layer.add("self_attn.o_proj.weight", {config.dim, q}, TensorRole::kMatmul);
  if (config.out_bias) layer.add("self_attn.o_proj.bias", {config.dim}, TensorRole::kBias);
}

void add_network(const FfnTensors& network, std::int64_t dim, std::vector<TensorSpec>& tensors) {
  const std::int64_t ffn_dim = network.up.n_rows;
  if (network.gate.tensor.empty()) {
    tensors.push_back({network.up.tensor, {ffn_dim, dim}, TensorRole::kMatmul});
  } else if (network.gate.tensor == network.up.tensor) {
    tensors.push_back({network.gate.tensor, {2 * ffn_dim, dim}, TensorRole::kMatmul});
  } else {
    tensors.push_back({network.gate.tensor, {ffn_dim, dim}, TensorRole::kMatmul});
    tensors.push_back({network.up.tensor, {ffn_dim, dim}, TensorRole::kMatmul});
  }
  tensors.push_back({network.down.tensor, {dim, ffn_dim}, TensorRole::kMatmul});
}

/// Whether all experts of a layer are two tensors of rows.
bool has_joined_experts(const ModelConfig& config) {
  return config.architecture == Architecture::kGraniteMoe;
}

/// Whether all experts of a layer are two tensors of columns.
bool has_transposed_experts(const ModelConfig& config) {
  return config.architecture == Architecture::kGptOss;
}

void add_transposed_experts(const ModelConfig& config, std::int64_t layer, std::vector<TensorSpec>& tensors) {
  const FfnTensors first = expert_tensors(config, layer, 0);
  const ExpertBiases biases = expert_bias_names(layer);
  const std::int64_t n_experts = config.n_experts;
  const std::int64_t ffn_dim = config.expert_ffn_dim;
  tensors.push_back({bias_name(router_tensor_name(config, layer)), {n_experts}, TensorRole::kBias});
  tensors.push_back({first.gate.tensor, {n_experts, config.dim, 2 * ffn_dim}, TensorRole::kMatmul, true});
  tensors.push_back({biases.gate_up, {n_experts, 2 * ffn_dim}, TensorRole::kBias});
  tensors.push_back({first.down.tensor, {n_experts, ffn_dim, config.dim}, TensorRole::kMatmul, true});
  tensors.push_back({biases.down, {n_experts, config.dim}, TensorRole::kBias});
}

void add_feed_forward(const ModelConfig& config, std::int64_t layer, std::vector<TensorSpec>& tensors) {
  if (!config.is_mixture_layer(layer)) {
    const FfnTensors network = ffn_tensors(config, layer);
    add_network(network, config.dim, tensors);
    if (!config.ffn_bias) return;
    if (config.gated_ffn) tensors.push_back({bias_name(network.gate.tensor), {config.ffn_dim}, TensorRole::kBias});
    tensors.push_back({bias_name(network.up.tensor), {config.ffn_dim}, TensorRole::kBias});
    tensors.push_back({bias_name(network.down.tensor), {config.dim}, TensorRole::kBias});
    return;
  }
  tensors.push_back({router_tensor_name(config, layer), {config.n_experts, config.dim}, TensorRole::kRouter});
  if (has_transposed_experts(config)) return add_transposed_experts(config, layer, tensors);
  if (has_joined_experts(config)) {
    const FfnTensors first = expert_tensors(config, layer, 0);
    const std::int64_t ffn_dim = config.expert_ffn_dim;
    tensors.push_back({first.gate.tensor, {config.n_experts, 2 * ffn_dim, config.dim}, TensorRole::kMatmul});
    tensors.push_back({first.down.tensor, {config.n_experts, config.dim, ffn_dim}, TensorRole::kMatmul});
    return;
  }
  for (std::int64_t expert = 0; expert < config.n_experts; ++expert) {
    add_network(expert_tensors(config, layer, expert), config.dim, tensors);
  }
  if (config.sigmoid_experts) tensors.push_back({choice_bias_name(layer), {config.n_experts}, TensorRole::kChoiceBias});
  if (config.shared_ffn_dim == 0) return;
  const FfnTensors shared = shared_expert_tensors(config, layer);
  add_network(shared, config.dim, tensors);
  if (config.shared_gate) {
    tensors.push_back({shared_gate_tensor_name(layer), {1, config.dim}, TensorRole::kRouter});
  } else if (config.ffn_bias) {
    tensors.push_back({bias_name(shared.gate.tensor), {config.shared_ffn_dim}, TensorRole::kBias});
    tensors.push_back({bias_name(shared.up.tensor), {config.shared_ffn_dim}, TensorRole::kBias});
    tensors.push_back({bias_name(shared.down.tensor), {config.dim}, TensorRole::kBias});
  }
}

/// The module of a layer's experts and their router.
std::string_view mixture_module(const ModelConfig& config) {
  const bool is_sparse_moe = config.architecture == Architecture::kMixtral || has_joined_experts(config);
  return is_sparse_moe ? "block_sparse_moe" : "mlp";
}

}  // namespace

std::string_view ffn_norm_name(const ModelConfig& config) {
  return config.has_norms_after() ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight";
}

bool is_of_expert(const TensorSpec& tensor) {
  return tensor.shape.rank() == 3 || tensor.name.find(".experts.") != std::string::npos;
}

std::string layer_tensor_name(std::int64_t layer, std::string_view rest) {
  return fmt::format("model.layers.{}.{}", layer, rest);
}

AttentionTensors attention_tensors(const ModelConfig& config, std::int64_t layer) {
  const std::int64_t q = config.q_dim();
  const std::int64_t kv = config.kv_dim();
  if (config.fused_projections) {
    const std::string name = layer_tensor_name(layer, "self_attn.qkv_proj.weight");
    return {.q = {name, 0, q}, .k = {name, q, kv}, .v = {name, q + kv, kv}};
  }
  return {.q = {layer_tensor_name(layer, "self_attn.q_proj.weight"), 0, q},
          .k = {layer_tensor_name(layer, "self_attn.k_proj.weight"), 0, kv},
          .v = {layer_tensor_name(layer, "self_attn.v_proj.weight"), 0, kv}};
}

LatentTensors latent_tensors(const ModelConfig& config, std::int64_t layer) {
  const LatentAttention& latent = config.latent;
  const std::int64_t queries = config.n_heads * latent.qk_dim();
  const TensorRows kv_a{layer_tensor_name(layer, "self_attn.kv_a_proj_with_mqa.weight"), 0,
                        latent.kv_rank + latent.rotary_dim};
  if (latent.q_rank == 0) {
    return {.q_a = {}, .q_b = {layer_tensor_name(layer, "self_attn.q_proj.weight"), 0, queries}, .kv_a = kv_a};
  }
  return {.q_a = {layer_tensor_name(layer, "self_attn.q_a_proj.weight"), 0, latent.q_rank},
          .q_b = {layer_tensor_name(layer, "self_attn.q_b_proj.weight"), 0, queries},
          .kv_a = kv_a};
}

LatentHead latent_head(const ModelConfig& config, std::int64_t layer, std::int64_t head) {
  const LatentAttention& latent = config.latent;
  const std::string name = layer_tensor_name(layer, "self_attn.kv_b_proj.weight");
  const std::int64_t first = head * (latent.plain_dim + latent.value_dim);
  return {.query = {name, 0, latent.kv_rank, 1, 0, first, latent.plain_dim},
          .value = {name, first + latent.plain_dim, latent.value_dim}};
}

FfnTensors ffn_tensors(const ModelConfig& config, std::int64_t layer) {
  if (!config.gated_ffn) {
    return {.gate = {},
            .up = {layer_tensor_name(layer, "mlp.c_fc.weight"), 0, config.ffn_dim},
            .down = {layer_tensor_name(layer, "mlp.c_proj.weight"), 0, config.dim}};
  }
  const TensorRows down{layer_tensor_name(layer, "mlp.down_proj.weight"), 0, config.dim};
  if (config.fused_projections) {
    const std::string name = layer_tensor_name(layer, "mlp.gate_up_proj.weight");
    return {.gate = {name, 0, config.ffn_dim}, .up = {name, config.ffn_dim, config.ffn_dim}, .down = down};
  }
  return {.gate = {layer_tensor_name(layer, "mlp.gate_proj.weight"), 0, config.ffn_dim},
          .up = {layer_tensor_name(layer, "mlp.up_proj.weight"), 0, config.ffn_dim},
          .down = down};
}

std::int64_t n_rows_of(const Shape& shape) {
  std::int64_t n_rows = 1;
  for (std::size_t axis = 0; axis + 1 < shape.rank(); ++axis) n_rows *= shape.extent(axis);
  return n_rows;
}

FfnTensors expert_tensors(const ModelConfig& config, std::int64_t layer, std::int64_t expert) {
  if (has_joined_experts(config)) {
    const std::int64_t ffn_dim = config.expert_ffn_dim;
    const std::string joined = layer_tensor_name(layer, "block_sparse_moe.input_linear.weight");
    return {
        .gate = {joined, 2 * expert * ffn_dim, ffn_dim},
        .up = {joined, (2 * expert + 1) * ffn_dim, ffn_dim},
        .down = {layer_tensor_name(layer, "block_sparse_moe.output_linear.weight"), expert * config.dim, config.dim}};
  }
  if (has_transposed_experts(config)) {
    const std::string joined = layer_tensor_name(layer, "mlp.experts.gate_up_proj");
    return {.gate = {joined, 0, config.expert_ffn_dim, 2, expert},
            .up = {joined, 1, config.expert_ffn_dim, 2, expert},
            .down = {layer_tensor_name(layer, "mlp.experts.down_proj"), 0, config.dim, 1, expert}};
  }
  const bool is_numbered = config.architecture == Architecture::kMixtral;
  const auto rows = [&](std::string_view matrix, std::int64_t n_rows) {
    const std::string_view module = mixture_module(config);
    return TensorRows{layer_tensor_name(layer, fmt::format("{}.experts.{}.{}.weight", module, expert, matrix)), 0,
                      n_rows};
  };
  return {.gate = rows(is_numbered ? "w1" : "gate_proj", config.expert_ffn_dim),
          .up = rows(is_numbered ? "w3" : "up_proj", config.expert_ffn_dim),
          .down = rows(is_numbered ? "w2" : "down_proj", config.dim)};
}

FfnTensors shared_expert_tensors(const ModelConfig& config, std::int64_t layer) {
  const auto rows = [&](std::string_view matrix, std::int64_t n_rows) {
    const std::string_view module = config.shared_gate ? "shared_expert" : "shared_experts";
    return TensorRows{layer_tensor_name(layer, fmt::format("mlp.{}.{}.weight", module, matrix)), 0, n_rows};
  };
  return {.gate = rows("gate_proj", config.shared_ffn_dim),
          .up = rows("up_proj", config.shared_ffn_dim),
          .down = rows("down_proj", config.dim)};
}

std::string shared_gate_tensor_name(std::int64_t layer) {
  return layer_tensor_name(layer, "mlp.shared_expert_gate.weight");
}

std::string choice_bias_name(std::int64_t layer) {
  return layer_tensor_name(layer, "mlp.gate.e_score_correction_bias");
}

std::string bias_name(std::string_view weight_name) {
  SS_CHECK(weight_name.ends_with("weight"), "a matrix has a bias beside it");
  weight_name.remove_suffix(std::string_view("weight").size());
  return std::string(weight_name) + "bias";
}

ExpertBiases expert_bias_names(std::int64_t layer) {
  return {.gate_up = layer_tensor_name(layer, "mlp.experts.gate_up_proj_bias"),
          .down = layer_tensor_name(layer, "mlp.experts.down_proj_bias")};
}

std::string router_tensor_name(const ModelConfig& config, std::int64_t layer) {
  const std::string_view gate = has_joined_experts(config)       ? "router.layer"
                                : has_transposed_experts(config) ? "router"
                                                                 : "gate";
  return layer_tensor_name(layer, fmt::format("{}.{}.weight", mixture_module(config), gate));
}

namespace {

/// The beginning of a name in a checkpoint, and in model_tensors().
struct NameBegin {
  std::string_view stored;
  std::string_view plain;
};

// First as published files have it, then as the modules of transformers 5 are called.
constexpr std::array kTextPartNames = {NameBegin{"language_model.", ""}, NameBegin{"model.language_model.", "model."}};

constexpr std::array<std::string_view, 4> kPictureModules = {"vision_tower.", "multi_modal_projector.",
                                                             "model.vision_tower.", "model.multi_modal_projector."};

}  // namespace

std::string stored_name(const ModelConfig& config, std::string_view name) {
  return fmt::format("{}{}", config.is_text_part ? kTextPartNames[0].stored : "", name);
}

std::string name_of_stored(const ModelConfig& config, std::string_view stored) {
  if (!config.is_text_part) return std::string(stored);
  for (const NameBegin& begin : kTextPartNames) {
    if (stored.starts_with(begin.stored)) return fmt::format("{}{}", begin.plain, stored.substr(begin.stored.size()));
  }
  return std::string(stored);
}

bool is_for_pictures(const ModelConfig& config, std::string_view stored) {
  return config.is_text_part &&
         std::ranges::any_of(kPictureModules, [&](std::string_view module) { return stored.starts_with(module); });
}

bool is_behind_last_layer(const ModelConfig& config, std::string_view name) {
  constexpr std::string_view kLayers = "model.layers.";
  if (!config.latent.is_present() || !name.starts_with(kLayers)) return false;
  const std::string_view number = name.substr(kLayers.size(), name.find('.', kLayers.size()) - kLayers.size());
  std::int64_t layer = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), layer);
  return error == std::errc() && end == number.data() + number.size() && layer >= config.n_layers;
}

std::vector<TensorSpec> model_tensors(const ModelConfig& config) {
  std::vector<TensorSpec> tensors;
  tensors.push_back({std::string(kEmbeddingTensor), {config.vocab_size, config.dim}, TensorRole::kEmbedding});
  for (std::int64_t index = 0; index < config.n_layers; ++index) {
    LayerTensors layer(index, tensors);
    const auto add_norm = [&](std::string_view name) {
      layer.add(name, {config.dim}, TensorRole::kNorm);
      if (config.norm_biases) layer.add(bias_name(name), {config.dim}, TensorRole::kBias);
    };
    if (config.has_norms_before()) add_norm(kAttentionNorm);
    add_attention(config, layer);
    if (config.has_norms_after()) layer.add(kPostAttentionNorm, {config.dim}, TensorRole::kNorm);
    if (config.has_norms_before() && !config.parallel_blocks) add_norm(ffn_norm_name(config));
    add_feed_forward(config, index, tensors);
    if (config.has_norms_after()) layer.add(kPostFfnNorm, {config.dim}, TensorRole::kNorm);
  }
  tensors.push_back({std::string(kFinalNormTensor), {config.dim}, TensorRole::kNorm});
  if (config.norm_biases) tensors.push_back({bias_name(kFinalNormTensor), {config.dim}, TensorRole::kBias});
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

bool is_without_effect(const ModelConfig& config, std::string_view name) {
  return is_for_pictures(config, name) || is_behind_last_layer(config, name) || name.ends_with("rotary_emb.inv_freq") ||
         (name == kHeadTensor && config.tied_embeddings);
}

}  // namespace secondsource
