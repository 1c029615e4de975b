#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "bundle/config_source.h"
#include "core/utf8.h"

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

/// Reads how the experts of a token are chosen from groups (DeepSeek). Needs the numbers of experts.
Result<void> parse_groups(const JsonFields& fields, const ConfigSource& source, ModelConfig& config) {
  const MixtureKeys& keys = source.defaults.mixture;
  const std::string_view function = keys.has_sigmoid_groups ? "sigmoid" : "softmax";
  SS_TRY(const std::string found, fields.string_or("scoring_func", function));
  if (found != function) {
    return unsupported(fields, "scoring_func", fmt::format("expected {}, found {}", function, printable(found)));
  }
  SS_TRY(const std::int64_t step, fields.integer_or("moe_layer_freq", 1, {.min = 1, .max = kMaxExtent}));
  if (step != 1) return unsupported(fields, "moe_layer_freq", fmt::format("expected 1, found {}", step));
  SS_TRY(config.expert_scale, fields.number_or("routed_scaling_factor", keys.routed_scaling_factor));
  if (config.expert_scale < 1e-6 || config.expert_scale > 1e6) {
    return fields.mismatch("routed_scaling_factor", "a number from 1e-6 to 1e6");
  }
  const IntegerRange range{.min = 1, .max = config.n_experts};
  if (keys.has_sigmoid_groups) {
    config.sigmoid_experts = true;
    config.group_rule = GroupRule::kSumOfTwo;
    for (const std::string_view key : {"n_group", "topk_group"}) {
      if (source.is_null(key)) return unsupported(fields, key, "expected a number of groups, found null");
    }
    SS_TRY(config.n_expert_groups, fields.integer_or("n_group", 8, range));
    SS_TRY(config.n_top_groups, fields.integer_or("topk_group", 4, range));
    SS_TRY(const bool renormalizes, fields.boolean_or("norm_topk_prob", true));
    config.renormalizes_experts = renormalizes && !source.is_null("norm_topk_prob");
  } else {
    config.renormalizes_experts = false;
    SS_TRY(const bool renormalizes, fields.boolean_or("norm_topk_prob", false));
    // The class of transformers ignores it; the code that was published with the models does not.
    if (renormalizes) return unsupported(fields, "norm_topk_prob", "expected false, found true");
    SS_TRY(const std::string method,
           fields.string_or("topk_method", source.is_null("topk_method") ? "null" : "greedy"));
    if (method == "greedy") return {};
    if (method != "group_limited_greedy") {
      return unsupported(fields, "topk_method",
                         fmt::format("expected greedy or group_limited_greedy, found {}", printable(method)));
    }
    SS_TRY(config.n_expert_groups, fields.integer("n_group", range));
    SS_TRY(config.n_top_groups, fields.integer("topk_group", range));
  }
  const std::int64_t group_size = config.n_experts / config.n_expert_groups;
  if (config.n_experts % config.n_expert_groups != 0 || (keys.has_sigmoid_groups && group_size < 2)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: n_group: expected groups of equally many experts{}, found {} groups of {} experts",
                             fields.name(), keys.has_sigmoid_groups ? ", at least 2" : "", config.n_expert_groups,
                             config.n_experts)};
  }
  if (config.n_top_groups > config.n_expert_groups || config.n_top_groups * group_size < config.n_experts_per_token) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("{}: topk_group: expected at most n_group = {} groups, with num_experts_per_tok = {} experts "
                    "or more, found {} of {} experts each",
                    fields.name(), config.n_expert_groups, config.n_experts_per_token, config.n_top_groups,
                    group_size)};
  }
  return {};
}

/// Reads which layers have experts, and the expert that all tokens share, in the classes of DeepSeek.
Result<void> parse_shared_experts(const JsonFields& fields, const ConfigSource& source, ModelConfig& config) {
  const MixtureKeys& keys = source.defaults.mixture;
  SS_TRY(const std::int64_t n_dense,
         fields.integer_or("first_k_dense_replace", keys.first_k_dense_replace, {.min = 0, .max = kMaxLayers}));
  for (std::int64_t layer = 0; layer < std::min(n_dense, config.n_layers); ++layer) {
    config.mixture_layers[static_cast<std::size_t>(layer)] = false;
  }
  constexpr std::string_view kShared = "n_shared_experts";
  if (source.is_null(kShared)) return unsupported(fields, kShared, "expected a number of experts, found null");
  SS_TRY(const std::int64_t n_shared, fields.integer_or(kShared, keys.n_shared_experts, {.min = 1, .max = 1024}));
  config.shared_ffn_dim = n_shared * config.expert_ffn_dim;
  if (config.shared_ffn_dim <= kMaxExtent) return {};
  return fields.mismatch(kShared, fmt::format("experts of at most {} rows together", kMaxExtent));
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
  constexpr std::string_view kPerToken = "num_experts_per_tok";
  const IntegerRange per_token{.min = 1, .max = kMaxExperts};
  SS_TRY(config.n_experts_per_token, keys.num_experts_per_tok == kNoValue
                                         ? fields.integer(kPerToken, per_token)
                                         : fields.integer_or(kPerToken, keys.num_experts_per_tok, per_token));
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
    config.shared_gate = true;
  }
  if (keys.first_k_dense_replace != kNoValue) {
    SS_TRY_VOID(parse_groups(fields, source, config));
    return parse_shared_experts(fields, source, config);
  }
  if (keys.has_dense_layers) return parse_dense_layers(fields, config);
  return {};
}

}  // namespace secondsource::detail
