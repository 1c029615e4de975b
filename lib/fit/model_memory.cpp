#include "fit/model_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/backend.h"
#include "bundle/model_tensors.h"
#include "core/checked.h"
#include "core/utf8.h"
#include "fit/quantity.h"

namespace secondsource {
namespace {

/// The type of stored tensors by the name that config.json gives it ("bfloat16").
Result<DType> stored_type(const ModelConfig& config) {
  if (config.torch_dtype.empty() || config.torch_dtype == "bfloat16") return DType::kBf16;
  if (config.torch_dtype == "float16") return DType::kF16;
  if (config.torch_dtype == "float32") return DType::kF32;
  return Error{ErrorCode::kUnsupported, fmt::format("torch_dtype: expected bfloat16, float16 or float32, found {}",
                                                    in_quotes(config.torch_dtype))};
}

/// The encoding of the tensor in a role. `of_config` is the type of tensors about which the files say nothing else.
Result<WeightEncoding> encoding_in(const TensorSpec& tensor, TensorRole role, const Variant& variant, DType of_config,
                                   const PublishedTypes& published) {
  const auto known = published.values.find(tensor.name);
  const DType stored = known != published.values.end() ? known->second : of_config;
  if (!published.encodings || published.variant != variant.name) {
    const bool keeps_codes = role == TensorRole::kEmbedding && variant.name.starts_with(kGgufMethod);
    return encoding_of(variant, keeps_codes ? TensorRole::kMatmul : role, stored);
  }
  const auto found = published.encodings->find(tensor.name);
  const bool takes_codes = role == TensorRole::kMatmul || role == TensorRole::kEmbedding;
  return takes_codes && found != published.encodings->end() ? found->second : encoding_as_stored(stored);
}

double bytes_in(WeightEncoding encoding, const TensorSpec& tensor) {
  if (tensor.is_transposed) {
    return encoded_bytes(encoding, tensor.shape.extent(0) * tensor.shape.extent(2), tensor.shape.extent(1));
  }
  return encoded_bytes(encoding, n_rows_of(tensor.shape), tensor.shape.extent(tensor.shape.rank() - 1));
}

/// By default, published checkpoints in safetensors do not quantize the head, and gpt-oss quantizes only experts.
TensorRole role_of_matmul(const Variant& variant, bool is_head, bool is_of_expert) {
  const bool is_as_stored = variant.is_published() && !variant.name.starts_with(kGgufMethod) &&
                            (is_head || (variant.name == "mxfp4" && !is_of_expert));
  return is_as_stored ? TensorRole::kEmbedding : TensorRole::kMatmul;
}
TensorRole role_of_head(const Variant& variant) {
  return role_of_matmul(variant, true, false);
}

/// Whether inputs of products have to be brought into the order of their weights' columns.
struct OrderedInputs {
  bool of_experts = false;
  bool of_others = false;
};

OrderedInputs ordered_inputs(const ModelConfig& config, const Variant& variant, const PublishedTypes& published) {
  OrderedInputs ordered;
  if (published.variant != variant.name || published.ordered.empty()) return ordered;
  for (const TensorSpec& tensor : model_tensors(config)) {
    if (published.ordered.contains(tensor.name)) (is_of_expert(tensor) ? ordered.of_experts : ordered.of_others) = true;
  }
  return ordered;
}

/// The values of the largest step that are alive at once.
double workspace_bytes(const ModelConfig& config, const MemoryPlan& plan, const OrderedInputs& ordered) {
  const LatentAttention& latent = config.latent;
  // For latent attention: the queries as the product makes them and the queries to latents, while the cached row is
  // alive.
  const std::int64_t qkv = latent.is_present() ? config.n_heads * latent.qk_dim() + config.head_dim + config.q_dim()
                                               : config.q_dim() + 2 * config.kv_dim();
  const std::int64_t of_experts = config.n_experts_per_token * config.expert_ffn_dim;
  const std::int64_t hidden = std::max({config.ffn_dim, of_experts, config.shared_ffn_dim});
  const std::int64_t attention = std::max(config.dim + qkv, qkv + config.n_heads * config.value_dim());
  std::int64_t network = config.dim + hidden;
  // The input of the second product, and a copy of it in the order of its weight's columns.
  if (ordered.of_experts) network = std::max(network, 2 * of_experts);
  if (ordered.of_others) network = std::max(network, 2 * std::max(config.ffn_dim, config.shared_ffn_dim));
  // Each expert of a token has its own input. The values from which these are made stay alive until a shared expert has
  // read them, too.
  if (ordered.of_experts) {
    const std::int64_t read = config.shared_ffn_dim > 0 ? config.dim : 0;
    network = std::max(network, read + config.n_experts_per_token * config.dim + of_experts);
  }
  const std::int64_t widest = config.dim + std::max(attention, network);
  const double converted = 2 * real(plan.max_tokens_per_step) * real(std::max(config.dim, hidden) + qkv);
  const double layers = 4 * real(plan.max_tokens_per_step) * real(widest) + converted;
  const double head = 4 * (real(plan.max_tokens_per_step) * real(config.dim) +
                           real(plan.max_seqs) * real(2 * config.dim + config.vocab_size));
  return std::max(layers, head);
}

}  // namespace

Result<ModelMemory> model_memory(const ModelConfig& config, const Variant& variant, const MemoryPlan& plan,
                                 const PublishedTypes& published) {
  if (variant.name == "mxfp4" && config.n_experts == 0) {
    return Error{ErrorCode::kUnsupported, "mxfp4: expected a mixture, whose experts it encodes; this model has none"};
  }
  SS_TRY(const DType stored, stored_type(config));
  ModelMemory memory;
  const double share = config.n_experts > 0 ? real(config.n_experts_per_token) / real(config.n_experts) : 1;
  for (const TensorSpec& tensor : model_tensors(config)) {
    const TensorRole role = tensor.role != TensorRole::kMatmul
                                ? tensor.role
                                : role_of_matmul(variant, tensor.name == kHeadTensor, is_of_expert(tensor));
    SS_TRY(const WeightEncoding encoding, encoding_in(tensor, role, variant, stored, published));
    const double bytes = bytes_in(encoding, tensor);
    const std::int64_t n_values = tensor.shape.n_elements().value();  // the configuration was checked
    memory.n_parameters += n_values;
    memory.weights_bytes += bytes;
    if (tensor.role == TensorRole::kEmbedding) {
      if (!config.tied_embeddings) continue;
      // A tied head is the same matrix; the variant may keep a copy in the encoding of matmul weights.
      SS_TRY(const WeightEncoding multiplied, encoding_in(tensor, role_of_head(variant), variant, stored, published));
      const double head_bytes = bytes_in(multiplied, tensor);
      if (encoding != multiplied) memory.weights_bytes += head_bytes;
      memory.read_bytes += head_bytes;
      memory.n_active_parameters += real(n_values);
      continue;
    }
    if (is_of_expert(tensor)) {
      memory.expert_bytes += bytes;
      memory.n_active_parameters += share * real(n_values);
    } else {
      memory.read_bytes += bytes;
      memory.n_active_parameters += real(n_values);
    }
  }
  const KvSpec spec{.n_layers = static_cast<std::int32_t>(config.n_layers),
                    .n_kv_heads = static_cast<std::int32_t>(config.n_kv_heads),
                    .head_dim = static_cast<std::int32_t>(config.head_dim),
                    .latent_dim = static_cast<std::int32_t>(config.latent.kv_rank),
                    .page_tokens = plan.page_tokens,
                    .dtype = plan.kv_dtype};
  memory.kv_page_bytes = kv_page_bytes(spec);
  memory.kv_token_bytes = memory.kv_page_bytes / plan.page_tokens;
  memory.workspace_bytes = workspace_bytes(config, plan, ordered_inputs(config, variant, published));
  return memory;
}

double sequence_kv_bytes(const ModelMemory& memory, const MemoryPlan& plan, std::int64_t n_tokens) {
  return real(ceil_divide<std::int64_t>(n_tokens, plan.page_tokens)) * real(memory.kv_page_bytes);
}

}  // namespace secondsource
