#pragma once
// Lists the tensors that a model of a given configuration has, by the names that Hugging Face gives them.

#include <cstdint>
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
  kNorm,
  kBias,
};

struct TensorSpec {
  std::string name;
  Shape shape;
  TensorRole role = TensorRole::kMatmul;
};

/// "model.layers.3.self_attn.q_proj.weight" for (3, "self_attn.q_proj.weight").
[[nodiscard]] std::string layer_tensor_name(std::int64_t layer, std::string_view rest);

/// "model.layers.3.block_sparse_moe.experts.5.w1.weight" for (3, 5, "w1"): w1 = gate, w2 = down, w3 = up.
[[nodiscard]] std::string expert_tensor_name(std::int64_t layer, std::int64_t expert, std::string_view matrix);

inline constexpr std::string_view kEmbeddingTensor = "model.embed_tokens.weight";
inline constexpr std::string_view kFinalNormTensor = "model.norm.weight";
inline constexpr std::string_view kHeadTensor = "lm_head.weight";

/// All tensors of the model, in the order of the forward pass. kHeadTensor is left out if the embeddings are tied.
[[nodiscard]] std::vector<TensorSpec> model_tensors(const ModelConfig& config);

/// The number of elements of all tensors together.
[[nodiscard]] std::int64_t n_parameters(const ModelConfig& config);

}  // namespace secondsource
