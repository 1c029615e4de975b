#include <fmt/format.h>

#include "bundle/config_source.h"

namespace secondsource::detail {
namespace {

constexpr std::int64_t kMaxExperts = std::int64_t{1} << 16;  // counted over all layers

/// Takes the experts from the layers that have a dense network instead: all but every decoder_sparse_step-th, and those
/// that mlp_only_layers lists.
Result<void> parse_dense_layers(const JsonFields& fields, ModelConfig& config) {
  SS_TRY(const std::int64_t step, fields.integer_or("decoder_sparse_step", 1, {.min = 1, .max = kMaxExtent}));
  for (std::int64_t layer = 0; layer < config.n_layers; ++layer) {
    config.mixture_layers[static_cast<std::size_t>(layer)] = (layer + 1) % step == 0;
  }
  const nlohmann::json* list = fields.find("mlp_only_layers");
  if (list == nullptr) return {};
  if (!list->is_array()) return fields.mismatch("mlp_only_layers", "a list of layers");
  for (const nlohmann::json& layer : *list) {
    if (!layer.is_number_integer()) return fields.mismatch("mlp_only_layers", "a list of layers");
    const auto index = layer.get<std::int64_t>();
    if (index >= 0 && index < config.n_layers) config.mixture_layers[static_cast<std::size_t>(index)] = false;
  }
  return {};
}

}  // namespace

Result<void> parse_mixture(const ConfigSource& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  const MixtureKeys& keys = source.defaults.mixture;
  config.mixture_layers.assign(static_cast<std::size_t>(config.n_layers), keys.is_present());
  if (!keys.is_present()) return {};
  const bool has_alternative = !keys.n_experts_keys[1].empty() && fields.has(keys.n_experts_keys[1]);
  const std::string_view n_experts_key = keys.n_experts_keys[has_alternative ? 1 : 0];
  SS_TRY(config.n_experts,
         fields.integer_or(n_experts_key, keys.n_experts, {.min = 1, .max = kMaxExperts / config.n_layers}));
  SS_TRY(config.n_experts_per_token,
         fields.integer_or("num_experts_per_tok", keys.num_experts_per_tok, {.min = 1, .max = kMaxExperts}));
  if (config.n_experts_per_token > config.n_experts) {
    return fields.mismatch("num_experts_per_tok", fmt::format("at most {} = {}", n_experts_key, config.n_experts));
  }
  config.expert_biases = keys.has_biases;
  config.expert_ffn_dim = config.ffn_dim;
  if (keys.moe_intermediate_size != kDerived) {
    SS_TRY(config.expert_ffn_dim,
           fields.integer_or("moe_intermediate_size", keys.moe_intermediate_size, {.min = 1, .max = kMaxExtent}));
  }
  if (keys.reads_norm_topk_prob) {
    SS_TRY(config.renormalizes_experts, fields.boolean_or("norm_topk_prob", false));
  }
  if (keys.shared_expert_intermediate_size > 0) {
    SS_TRY(config.shared_ffn_dim,
           fields.integer_or("shared_expert_intermediate_size", keys.shared_expert_intermediate_size,
                             {.min = 1, .max = kMaxExtent}));
  }
  if (keys.has_dense_layers) return parse_dense_layers(fields, config);
  return {};
}

}  // namespace secondsource::detail
