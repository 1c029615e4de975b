#pragma once
// Lists the tensors that a model of a given configuration has, by the names that Hugging Face gives them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/model_config.h"
#include "core/shape.h"

namespace secondsource {

/// The use of a tensor, on which a variant's rule depends (docs/bundle-format.md, "Variants").
enum class TensorRole : std::uint8_t {
  kEmbedding,  ///< used for lookups and then never quantized; a tied head quantizes the same tensor as kMatmul
  kMatmul,     ///< [n_outputs, n_inputs]: the weights that int8 and int4 quantize
  kRouter,     ///< routing weights of a mixture, which keep their stored type
  kLatent,  ///< [heads * outputs, latent]: from a latent to keys and values of heads, which keeps its stored type, too
  kNorm,
  kBias,
  kChoiceBias,  ///< what joins the choice of experts: as stored in every variant, also in those of BF16 and FP16
};

struct TensorSpec {
  std::string name;
  Shape shape;
  TensorRole role = TensorRole::kMatmul;
  bool is_transposed = false;  ///< [matrices, inputs, outputs]: the inputs of an output are a column of a matrix
};

/// Whether a tensor is a matrix of one expert that a router chooses, or of several.
[[nodiscard]] bool is_of_expert(const TensorSpec& tensor);

/// "model.layers.3.self_attn.q_proj.weight" for (3, "self_attn.q_proj.weight").
[[nodiscard]] std::string layer_tensor_name(std::int64_t layer, std::string_view rest);

/// Number of rows of a stored tensor: [outputs, inputs], [experts, outputs of one, inputs], or a vector, which is one
/// row.
[[nodiscard]] std::int64_t n_rows_of(const Shape& shape);

/// Some rows of a tensor, because some classes store several projections in one tensor. For a transposed tensor they
/// are columns of one of its matrices.
struct TensorRows {
  std::string tensor;
  std::int64_t first_row = 0;
  std::int64_t n_rows = 0;
  std::int64_t step = 1;                               ///< from one row to the next
  std::optional<std::int64_t> transposed_matrix = {};  ///< which of [matrices, inputs, outputs]
  std::int64_t first_input = 0;                        ///< of a transposed matrix
  std::int64_t n_inputs = 0;                           ///< 0: all
};

/// The projections of an attention layer: q, k and v.
struct AttentionTensors {
  TensorRows q;
  TensorRows k;
  TensorRows v;
};
[[nodiscard]] AttentionTensors attention_tensors(const ModelConfig& config, std::int64_t layer);

/// The projections of a layer with latent attention. Without a q_rank, q_b is all of the queries, and q_a names no tensor.
struct LatentTensors {
  TensorRows q_a;
  TensorRows q_b;
  TensorRows kv_a;  ///< the latent, and the rotated key behind it
};
[[nodiscard]] LatentTensors latent_tensors(const ModelConfig& config, std::int64_t layer);
/// Two parts of one head, from rows of the tensor "kv_b_proj": the matrix that multiplies the plain part of its query
/// ([kv_rank, plain_dim]), and the matrix that makes its output from the attended latent ([value_dim, kv_rank]).
struct LatentHead {
  TensorRows query;
  TensorRows value;
};
[[nodiscard]] LatentHead latent_head(const ModelConfig& config, std::int64_t layer, std::int64_t head);
inline constexpr std::string_view kQueryLatentNorm = "self_attn.q_a_layernorm.weight";
inline constexpr std::string_view kLatentNorm = "self_attn.kv_a_layernorm.weight";

/// The matrices of a feed-forward network: down(act(gate) * up), or down(act(up)), where gate names no tensor.
struct FfnTensors {
  TensorRows gate;
  TensorRows up;
  TensorRows down;
};
/// The matrices of a layer without experts.
[[nodiscard]] FfnTensors ffn_tensors(const ModelConfig& config, std::int64_t layer);
/// The matrices of one expert: "model.layers.3.block_sparse_moe.experts.5.w1.weight" in Mixtral; rows of
/// "model.layers.3.block_sparse_moe.input_linear.weight" in Granite-MoE; columns of
/// "model.layers.3.mlp.experts.gate_up_proj" in gpt-oss, where the columns of gate and up alternate;
/// "model.layers.3.mlp.experts.5.gate_proj.weight" in other classes.
[[nodiscard]] FfnTensors expert_tensors(const ModelConfig& config, std::int64_t layer, std::int64_t expert);
[[nodiscard]] std::string router_tensor_name(const ModelConfig& config, std::int64_t layer);
/// The biases of all experts, in a model whose experts have biases: [experts, 2 ffn_dim], where gate and up alternate,
/// and [experts, dim].
struct ExpertBiases {
  std::string gate_up;
  std::string down;
};
[[nodiscard]] ExpertBiases expert_bias_names(std::int64_t layer);
/// The attention sinks of a layer, in a model that has them: [n_heads].
inline constexpr std::string_view kSinks = "self_attn.sinks";
/// The bias for the choice of experts, in a model with sigmoid_experts: [n_experts].
[[nodiscard]] std::string choice_bias_name(std::int64_t layer);
/// The matrices of the expert that all tokens share; below, the vector that gates it.
[[nodiscard]] FfnTensors shared_expert_tensors(const ModelConfig& config, std::int64_t layer);
[[nodiscard]] std::string shared_gate_tensor_name(std::int64_t layer);
/// "....gate_proj.bias" for the tensor "....gate_proj.weight".
[[nodiscard]] std::string bias_name(std::string_view weight_name);

/// The norms before the blocks of a layer, in a model that has them: layer_tensor_name(3, kAttentionNorm) and
/// layer_tensor_name(3, ffn_norm_name(config)). bias_name() gives the name of a norm's bias. Parallel blocks share the
/// norm of the attention.
inline constexpr std::string_view kAttentionNorm = "input_layernorm.weight";
[[nodiscard]] std::string_view ffn_norm_name(const ModelConfig& config);
/// The norms of what the two blocks of a layer add, in a model with norms after its blocks.
inline constexpr std::string_view kPostAttentionNorm = "post_attention_layernorm.weight";
inline constexpr std::string_view kPostFfnNorm = "post_feedforward_layernorm.weight";

inline constexpr std::string_view kEmbeddingTensor = "model.embed_tokens.weight";
inline constexpr std::string_view kFinalNormTensor = "model.norm.weight";
inline constexpr std::string_view kHeadTensor = "lm_head.weight";

/// The name of a tensor in a checkpoint. For the text part of a model that also has a part for pictures it begins with
/// "language_model.", which model_tensors() leaves out.
[[nodiscard]] std::string stored_name(const ModelConfig& config, std::string_view name);
/// The name that model_tensors() gives to a tensor, for either of the two names that a checkpoint may use.
[[nodiscard]] std::string name_of_stored(const ModelConfig& config, std::string_view stored);
/// Whether a tensor of the checkpoint belongs to the part for pictures, which is not computed.
[[nodiscard]] bool is_for_pictures(const ModelConfig& config, std::string_view stored);

/// Whether a tensor of the checkpoint belongs to a layer after the model's last one. Such a layer predicts a further
/// token (DeepSeek-V3's multi-token prediction) and is not computed.
[[nodiscard]] bool is_behind_last_layer(const ModelConfig& config, std::string_view name);

/// Whether a stored tensor that model_tensors() does not list may be ignored: tensors of the part for pictures, layers
/// after the last one, rotary frequencies in old checkpoints, and a tied head that is stored a second time.
[[nodiscard]] bool is_without_effect(const ModelConfig& config, std::string_view name);

/// All tensors of the model, in the order of the forward pass. kHeadTensor is left out if the embeddings are tied.
[[nodiscard]] std::vector<TensorSpec> model_tensors(const ModelConfig& config);

/// The number of elements of all tensors together.
[[nodiscard]] std::int64_t n_parameters(const ModelConfig& config);

}  // namespace secondsource
