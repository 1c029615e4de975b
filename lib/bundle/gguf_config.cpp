#include "bundle/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "bundle/config_class.h"
#include "bundle/model_config.h"
#include "core/check.h"
#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

using OrderedJson = nlohmann::ordered_json;

// The architecture names are llama.cpp's (src/llama-arch.cpp); which rows are permuted follows its
// convert_hf_to_gguf.py.
constexpr std::array kArchitectures = {
    GgufArchitecture{"llama", "LlamaForCausalLM", true},
    GgufArchitecture{"qwen2", "Qwen2ForCausalLM"},
    GgufArchitecture{"qwen3", "Qwen3ForCausalLM"},
    GgufArchitecture{"qwen2moe", "Qwen2MoeForCausalLM"},
    GgufArchitecture{"qwen3moe", "Qwen3MoeForCausalLM"},
    GgufArchitecture{"gemma", "GemmaForCausalLM", false, true},
    GgufArchitecture{"gemma2", "Gemma2ForCausalLM", false, true},
    GgufArchitecture{"gemma3", "Gemma3ForCausalLM", false, true},
    GgufArchitecture{"phi3", "Phi3ForCausalLM"},
    GgufArchitecture{"olmo2", "Olmo2ForCausalLM"},
    GgufArchitecture{"granite", "GraniteForCausalLM", true},
    GgufArchitecture{"granitemoe", "GraniteMoeForCausalLM", true},
    GgufArchitecture{"smollm3", "SmolLM3ForCausalLM", true},
    GgufArchitecture{"seed_oss", "SeedOssForCausalLM"},
    GgufArchitecture{"ernie4_5", "Ernie4_5ForCausalLM"},
    GgufArchitecture{"gpt-oss", "GptOssForCausalLM"},
    GgufArchitecture{"command-r", "CohereForCausalLM"},
    GgufArchitecture{"cohere2", "Cohere2ForCausalLM"},
    GgufArchitecture{"starcoder2", "Starcoder2ForCausalLM"},
    GgufArchitecture{"deepseek2", "DeepseekV2ForCausalLM"},
    GgufArchitecture{"mistral3", "Ministral3ForCausalLM", true},
};
/// A "llama" file with experts.
constexpr GgufArchitecture kMixtral{"llama", "MixtralForCausalLM", true};
/// A "deepseek2" file whose expert scores are sigmoids.
constexpr GgufArchitecture kDeepseekV3{"deepseek2", "DeepseekV3ForCausalLM"};
/// llama.cpp's number for sigmoid scores (expert_gating_func).
constexpr std::int64_t kSigmoidGating = 2;

/// Reads the keys of a file that begin with the name of its architecture.
class ArchitectureKeys {
 public:
  ArchitectureKeys(const GgufFiles& files, std::string_view architecture) : files_(&files), prefix_(architecture) {}

  [[nodiscard]] std::string full(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
  [[nodiscard]] bool has(std::string_view key) const { return files_->header().metadata.contains(full(key)); }
  [[nodiscard]] Error mismatch(std::string_view key, std::string_view expected) const {
    const auto found = files_->header().metadata.find(full(key));
    const bool is_there = found != files_->header().metadata.end();
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}: expected {}, found {}", files_->name(), full(key),
                                                       expected, is_there ? found->second.type : "no such key")};
  }
  [[nodiscard]] Error unsupported(std::string_view key, std::string_view what) const {
    return Error{ErrorCode::kUnsupported, fmt::format("{}: {}: {}", files_->name(), full(key), what)};
  }

  /// An integer, or an array of the same integer for all layers.
  Result<std::int64_t> integer(std::string_view key) const {
    if (const auto* value = files_->header().find<std::int64_t>(full(key))) return *value;
    if (const auto* list = files_->header().find<GgufIntegers>(full(key)); list != nullptr && !list->empty()) {
      if (std::ranges::all_of(*list, [&](std::int64_t value) { return value == list->front(); })) return list->front();
      return unsupported(key, "layers of different sizes are not supported");
    }
    return mismatch(key, "an integer");
  }
  Result<std::optional<std::int64_t>> optional_integer(std::string_view key) const {
    if (!has(key)) return std::optional<std::int64_t>();
    SS_TRY(const std::int64_t value, integer(key));
    return std::optional(value);
  }
  Result<std::optional<double>> optional_number(std::string_view key) const {
    if (!has(key)) return std::optional<double>();
    const auto* value = files_->header().find<double>(full(key));
    if (value == nullptr || !std::isfinite(*value)) return mismatch(key, "a finite number");
    return std::optional(shortest(*value));
  }
  Result<double> number(std::string_view key) const {
    SS_TRY(const std::optional<double> value, optional_number(key));
    if (!value) return mismatch(key, "a number");
    return *value;
  }
  Result<std::optional<std::string_view>> optional_text(std::string_view key) const {
    if (!has(key)) return std::optional<std::string_view>();
    const auto* value = files_->header().find<std::string_view>(full(key));
    if (value == nullptr) return mismatch(key, "a string");
    return std::optional(*value);
  }

 private:
  /// The decimal number that an F32 stands for: 1e-05 for 0.0000099999997.
  static double shortest(double value) {
    const auto narrow = static_cast<float>(value);
    return parse_number<double>(fmt::format("{}", narrow)).value_or(value);
  }

  const GgufFiles* files_;
  std::string prefix_;
};

/// What the parts of the conversion share.
struct ConfigParts {
  const GgufFiles& files;
  const GgufArchitecture& architecture;
  const detail::ConfigClass& config_class;
  const ArchitectureKeys& keys;
  OrderedJson& json;

  [[nodiscard]] bool is(std::string_view name) const { return architecture.name == name; }
};

bool is_deepseek(const ConfigParts& parts) {
  return parts.is("deepseek2");
}

bool is_gemma(const ConfigParts& parts) {
  return parts.is("gemma") || parts.is("gemma2") || parts.is("gemma3");
}

/// The values of a small vector. Errors: kInvalidInput for another shape or a value that is not finite.
Result<std::vector<double>> read_vector(const GgufFiles& files, std::string_view tensor, std::int64_t n_values) {
  const GgufWeight* weight = files.find(tensor);
  if (weight == nullptr || weight->n_rows != 1 || weight->row_values != n_values) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: tensor {}: expected {} values, found {}", files.name(), tensor, n_values,
                             weight == nullptr ? "none" : weight->tensor->shape.to_string())};
  }
  std::vector<float> values(static_cast<std::size_t>(n_values));
  std::vector<std::byte> scratch;
  SS_TRY_VOID(GgufFiles::read_row(*weight, 0, scratch, values));
  if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected finite values", files.name(), tensor)};
  }
  return std::vector<double>(values.begin(), values.end());
}

Result<void> add_sizes(const ConfigParts& parts) {
  const ArchitectureKeys& keys = parts.keys;
  const GgufWeight* embedding = parts.files.find("token_embd.weight");
  if (embedding == nullptr || embedding->tensor->shape.rank() != 2) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: tensor token_embd.weight: expected a matrix, found none", parts.files.name())};
  }
  OrderedJson& json = parts.json;
  json["vocab_size"] = embedding->n_rows;
  SS_TRY(json["hidden_size"], keys.integer("embedding_length"));
  SS_TRY(json["num_hidden_layers"], keys.integer("block_count"));
  SS_TRY(const std::int64_t n_heads, keys.integer("attention.head_count"));
  json["num_attention_heads"] = n_heads;
  SS_TRY(json["max_position_embeddings"], keys.integer("context_length"));
  const bool is_layer_norm = parts.config_class.norms_center;
  SS_TRY(json[std::string(parts.config_class.norm_eps_key)],
         keys.number(is_layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"));
  json["tie_word_embeddings"] = parts.files.find("output.weight") == nullptr;
  return {};
}

/// The widths of heads, and how many have keys and values of their own.
Result<void> add_heads(const ConfigParts& parts) {
  const ArchitectureKeys& keys = parts.keys;
  OrderedJson& json = parts.json;
  const auto n_heads = json["num_attention_heads"].get<std::int64_t>();
  SS_TRY(const std::optional<std::int64_t> n_kv_heads, keys.optional_integer("attention.head_count_kv"));
  json["num_key_value_heads"] = n_kv_heads.value_or(n_heads);
  SS_TRY(const std::optional<std::int64_t> head_dim, keys.optional_integer("attention.key_length"));
  SS_TRY(const std::optional<std::int64_t> value_dim, keys.optional_integer("attention.value_length"));
  if (!head_dim && n_heads < 1) return keys.mismatch("attention.head_count", "at least 1 head");
  const std::int64_t dim = json["hidden_size"].get<std::int64_t>();
  json["head_dim"] = head_dim.value_or(dim / std::max<std::int64_t>(1, n_heads));
  if (value_dim.value_or(json["head_dim"]) != json["head_dim"]) {
    return keys.unsupported("attention.value_length", "values and keys of different lengths are not supported");
  }
  return {};
}

/// The sizes of latent attention. In files since April 2025, key_length is that of the latent, and the lengths of a
/// head have separate keys (..._mla).
Result<void> add_latent(const ConfigParts& parts) {
  const ArchitectureKeys& keys = parts.keys;
  OrderedJson& json = parts.json;
  const bool has_own_keys = keys.has("attention.key_length_mla");
  SS_TRY(const std::int64_t qk_dim, keys.integer(has_own_keys ? "attention.key_length_mla" : "attention.key_length"));
  SS_TRY(const std::int64_t rotary_dim, keys.integer("rope.dimension_count"));
  if (rotary_dim < 1 || qk_dim <= rotary_dim) {
    return keys.mismatch("rope.dimension_count", "1 up to less than the length of a key");
  }
  SS_TRY(json["kv_lora_rank"], keys.integer("attention.kv_lora_rank"));
  SS_TRY(const std::optional<std::int64_t> q_rank, keys.optional_integer("attention.q_lora_rank"));
  json["q_lora_rank"] = q_rank && *q_rank > 0 ? OrderedJson(*q_rank) : OrderedJson(nullptr);
  json["qk_nope_head_dim"] = qk_dim - rotary_dim;
  json["qk_rope_head_dim"] = rotary_dim;
  SS_TRY(json["v_head_dim"], keys.integer(has_own_keys ? "attention.value_length_mla" : "attention.value_length"));
  json["head_dim"] = rotary_dim;
  json["num_key_value_heads"] = json["num_attention_heads"];
  return {};
}

/// DeepSeek's experts. Without keys for groups, experts are chosen without groups, as llama.cpp does.
Result<void> add_grouped_experts(const ConfigParts& parts) {
  const ArchitectureKeys& keys = parts.keys;
  OrderedJson& json = parts.json;
  SS_TRY(json["n_routed_experts"], keys.integer("expert_count"));
  SS_TRY(json["num_experts_per_tok"], keys.integer("expert_used_count"));
  SS_TRY(json["moe_intermediate_size"], keys.integer("expert_feed_forward_length"));
  SS_TRY(json["n_shared_experts"], keys.integer("expert_shared_count"));
  SS_TRY(json["first_k_dense_replace"], keys.integer("leading_dense_block_count"));
  SS_TRY(const std::optional<double> scale, keys.optional_number("expert_weights_scale"));
  json["routed_scaling_factor"] = scale.value_or(1.0);
  SS_TRY(const std::optional<std::int64_t> renormalizes, keys.optional_integer("expert_weights_norm"));
  json["norm_topk_prob"] = renormalizes.value_or(0) != 0;
  SS_TRY(const std::optional<std::int64_t> n_groups, keys.optional_integer("expert_group_count"));
  SS_TRY(const std::optional<std::int64_t> n_top_groups, keys.optional_integer("expert_group_used_count"));
  json["n_group"] = n_groups.value_or(1);
  json["topk_group"] = n_top_groups.value_or(1);
  if (&parts.architecture != &kDeepseekV3) {
    json["topk_method"] = n_groups.value_or(1) > 1 ? "group_limited_greedy" : "greedy";
  }
  return {};
}

Result<void> add_feed_forward(const ConfigParts& parts) {
  const ArchitectureKeys& keys = parts.keys;
  OrderedJson& json = parts.json;
  SS_TRY(const std::optional<std::int64_t> ffn_dim, keys.optional_integer("feed_forward_length"));
  const bool is_qwen_mixture = parts.is("qwen2moe") || parts.is("qwen3moe");
  const bool is_mixture = parts.config_class.mixture.is_present();
  if (!ffn_dim && !is_qwen_mixture) return keys.mismatch("feed_forward_length", "an integer");
  if (ffn_dim) json["intermediate_size"] = *ffn_dim;
  if (!is_mixture) return {};
  if (is_deepseek(parts)) return add_grouped_experts(parts);
  SS_TRY(json[is_qwen_mixture ? "num_experts" : "num_local_experts"], keys.integer("expert_count"));
  SS_TRY(json["num_experts_per_tok"], keys.integer("expert_used_count"));
  if (!is_qwen_mixture) return {};
  SS_TRY(json["moe_intermediate_size"], keys.integer("expert_feed_forward_length"));
  // llama.cpp scales the weights of a token's experts to the sum 1 in qwen3moe, and does not in qwen2moe.
  json["norm_topk_prob"] = parts.is("qwen3moe");
  if (parts.is("qwen2moe")) {
    SS_TRY(json["shared_expert_intermediate_size"], keys.integer("expert_shared_feed_forward_length"));
  }
  return {};
}

/// The sliding window, for architectures that have one; llama.cpp ignores the key for the others.
Result<void> add_window(const ConfigParts& parts) {
  const bool has_pattern = parts.config_class.windows == detail::WindowRule::kPattern;
  if (parts.is("olmo2") && parts.keys.has("attention.sliding_window")) {
    return parts.keys.unsupported("attention.sliding_window", "windows in olmo2 (OLMo 3) are not supported");
  }
  if (!has_pattern && !parts.is("phi3") && &parts.architecture != &kMixtral) return {};
  SS_TRY(const std::optional<std::int64_t> window, parts.keys.optional_integer("attention.sliding_window"));
  const bool is_used = window && *window > 0 && &parts.architecture != &kMixtral;
  if (is_used) {
    parts.json["sliding_window"] = *window;
  } else if (!has_pattern) {
    parts.json["sliding_window"] = nullptr;
  }
  return {};
}

/// The soft caps of Gemma, and the number whose square root divides attention scores. Like llama.cpp, this recognises
/// the 27B models by their number of layers: there the number is hidden_size / number of heads, and otherwise the width
/// of a head.
Result<void> add_gemma(const ConfigParts& parts) {
  OrderedJson& json = parts.json;
  json["hidden_activation"] = "gelu_pytorch_tanh";
  if (parts.is("gemma")) return {};
  SS_TRY(const std::optional<double> attention_cap, parts.keys.optional_number("attn_logit_softcapping"));
  SS_TRY(const std::optional<double> logit_cap, parts.keys.optional_number("final_logit_softcapping"));
  const bool is_second = parts.is("gemma2");
  const auto cap = [](std::optional<double> value, std::optional<double> absent) {
    return value ? OrderedJson(*value) : absent ? OrderedJson(*absent) : OrderedJson(nullptr);
  };
  json["attn_logit_softcapping"] = cap(attention_cap, is_second ? std::optional(50.0) : std::nullopt);
  json["final_logit_softcapping"] = cap(logit_cap, is_second ? std::optional(30.0) : std::nullopt);
  const std::int64_t n_layers_of_27b = is_second ? 46 : 62;
  const auto n_heads = std::max<std::int64_t>(1, json["num_attention_heads"].get<std::int64_t>());
  const bool is_27b = json["num_hidden_layers"] == n_layers_of_27b;
  json["query_pre_attn_scalar"] =
      is_27b ? json["hidden_size"].get<std::int64_t>() / n_heads : json["head_dim"].get<std::int64_t>();
  return {};
}

Result<void> add_granite(const ConfigParts& parts) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kMultipliers = {
      {{"embedding_scale", "embedding_multiplier"},
       {"residual_scale", "residual_multiplier"},
       {"attention.scale", "attention_multiplier"},
       {"logit_scale", "logits_scaling"}}};
  for (const auto& [key, config_key] : kMultipliers) {
    SS_TRY(const std::optional<double> value, parts.keys.optional_number(key));
    if (value) parts.json[std::string(config_key)] = *value;
  }
  return {};
}

/// Reads the factor by which Cohere and Cohere 2 multiply their logits. Heads have norms (Command R+) if the file has
/// tensors for them.
Result<void> add_cohere(const ConfigParts& parts) {
  SS_TRY(parts.json["logit_scale"], parts.keys.number("logit_scale"));
  if (parts.is("command-r")) parts.json["use_qk_norm"] = parts.files.find("blk.0.attn_q_norm.weight") != nullptr;
  return {};
}

/// A projection has a bias if the file has a tensor for it.
void add_biases(const ConfigParts& parts) {
  const bool has_qkv = parts.files.find("blk.0.attn_q.bias") != nullptr;
  const bool has_out = parts.files.find("blk.0.attn_output.bias") != nullptr;
  const bool has_ffn = parts.files.find("blk.0.ffn_down.bias") != nullptr;
  if (parts.is("ernie4_5") || parts.is("starcoder2")) parts.json["use_bias"] = has_out;
  if (parts.is("qwen2moe")) parts.json["qkv_bias"] = has_qkv;
  if (parts.is("qwen2moe") || parts.is("qwen2") || parts.is("ernie4_5") || parts.is("starcoder2")) return;
  parts.json["attention_bias"] = has_qkv;
  if (parts.is("seed_oss")) parts.json["attention_out_bias"] = has_out;
  parts.json["mlp_bias"] = has_ffn;
}

/// The context length of the model before its rotation was scaled.
Result<std::int64_t> original_length(const ConfigParts& parts) {
  SS_TRY(const std::optional<std::int64_t> original,
         parts.keys.optional_integer("rope.scaling.original_context_length"));
  return original.value_or(parts.json["max_position_embeddings"].get<std::int64_t>());
}

/// Factors for each pair's wavelength (Llama 3.1, Phi-3). They are expressed as LongRoPE, the only type of transformers
/// that takes arbitrary factors.
Result<OrderedJson> rope_by_factors(const ConfigParts& parts, std::int64_t rotary_dim) {
  OrderedJson rope = {{"rope_type", "longrope"}};
  SS_TRY(const std::optional<double> attention_factor, parts.keys.optional_number("rope.scaling.attn_factor"));
  const std::int64_t n_pairs = rotary_dim / 2;
  if (parts.files.find("rope_freqs.weight") != nullptr) {
    SS_TRY(const std::vector<double> factors, read_vector(parts.files, "rope_freqs.weight", n_pairs));
    rope["short_factor"] = factors;
    rope["long_factor"] = factors;
    rope["original_max_position_embeddings"] = parts.json["max_position_embeddings"];
    rope["factor"] = 1.0;
    rope["attention_factor"] = attention_factor.value_or(1.0);
    return rope;
  }
  SS_TRY(const std::vector<double> short_factors, read_vector(parts.files, "rope_factors_short.weight", n_pairs));
  SS_TRY(const std::vector<double> long_factors, read_vector(parts.files, "rope_factors_long.weight", n_pairs));
  SS_TRY(const std::int64_t original, original_length(parts));
  rope["short_factor"] = short_factors;
  rope["long_factor"] = long_factors;
  rope["original_max_position_embeddings"] = original;
  if (parts.is("phi3")) parts.json["original_max_position_embeddings"] = original;
  if (attention_factor) rope["attention_factor"] = *attention_factor;
  return rope;
}

/// The rotation of layers without a window.
Result<OrderedJson> rope_of(const ConfigParts& parts, std::int64_t rotary_dim) {
  const ArchitectureKeys& keys = parts.keys;
  if (parts.files.find("rope_freqs.weight") != nullptr || parts.files.find("rope_factors_short.weight") != nullptr) {
    return rope_by_factors(parts, rotary_dim);
  }
  SS_TRY(const std::optional<std::string_view> type, keys.optional_text("rope.scaling.type"));
  SS_TRY(const std::optional<double> old_factor, keys.optional_number("rope.scale_linear"));
  const std::string_view name = type ? *type : old_factor && *old_factor != 1.0 ? "linear" : "none";
  if (name == "none") return OrderedJson({{"rope_type", "default"}});
  if (name != "linear" && name != "yarn") {
    return keys.unsupported("rope.scaling.type",
                            fmt::format("expected none, linear or yarn, found {}", printable(name)));
  }
  SS_TRY(const std::optional<double> factor, keys.optional_number("rope.scaling.factor"));
  if (!factor && !old_factor) return keys.mismatch("rope.scaling.factor", "a number");
  OrderedJson rope = {{"rope_type", name}, {"factor", factor ? *factor : *old_factor}};
  if (name == "linear") return rope;
  SS_TRY(rope["original_max_position_embeddings"], original_length(parts));
  constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kBetas = {
      {{"rope.scaling.yarn_beta_fast", "beta_fast"}, {"rope.scaling.yarn_beta_slow", "beta_slow"}}};
  for (const auto& [key, config_key] : kBetas) {
    SS_TRY(const std::optional<double> beta, keys.optional_number(key));
    if (beta) rope[std::string(config_key)] = *beta;
  }
  SS_TRY(const std::optional<double> attention_factor, keys.optional_number("rope.scaling.attn_factor"));
  if (attention_factor && *attention_factor != 1.0) {
    return keys.unsupported("rope.scaling.attn_factor", "expected 1 with yarn");
  }
  // The metadata has no key for this. YaRN blends over a range of pairs, whose bounds no published gpt-oss rounds.
  if (parts.is("gpt-oss")) rope["truncate"] = false;
  // The stored number is a tenth of mscale_all_dim, which equals mscale in every published model.
  SS_TRY(const std::optional<double> log_multiplier, keys.optional_number("rope.scaling.yarn_log_multiplier"));
  if (is_deepseek(parts) && log_multiplier) rope["mscale"] = rope["mscale_all_dim"] = 10.0 * *log_multiplier;
  if (parts.is("mistral3") && log_multiplier) {  // mscale_all_dim itself; llama.cpp takes an mscale of 1
    rope["mscale"] = 1.0;
    rope["mscale_all_dim"] = *log_multiplier;
  }
  return rope;
}

Result<void> add_rope(const ConfigParts& parts) {
  const ArchitectureKeys& keys = parts.keys;
  OrderedJson& json = parts.json;
  const auto head_dim = json["head_dim"].get<std::int64_t>();
  SS_TRY(const std::optional<std::int64_t> found_dim, keys.optional_integer("rope.dimension_count"));
  const std::int64_t rotary_dim = found_dim.value_or(head_dim);
  if (rotary_dim < 2 || rotary_dim > head_dim) return keys.mismatch("rope.dimension_count", "2 up to the head's width");
  SS_TRY(const std::optional<double> theta, keys.optional_number("rope.freq_base"));
  SS_TRY(OrderedJson rope, rope_of(parts, rotary_dim));
  rope["rope_theta"] = theta.value_or(10000.0);
  if (parts.config_class.grows_queries) {
    SS_TRY(const std::optional<double> beta, keys.optional_number("attention.temperature_scale"));
    rope["llama_4_scaling_beta"] = beta.value_or(0.0);
    SS_TRY(rope["original_max_position_embeddings"], original_length(parts));
  }
  if (rotary_dim != head_dim) {
    const double share = static_cast<double>(rotary_dim) / static_cast<double>(head_dim);
    rope["partial_rotary_factor"] = share;
    json["partial_rotary_factor"] = share;
  }
  if (!parts.is("gemma3")) {
    json["rope_theta"] = rope["rope_theta"];
    json["rope_parameters"] = std::move(rope);
    return {};
  }
  SS_TRY(const std::optional<double> local, keys.optional_number("rope.freq_base_swa"));
  json["rope_parameters"] = {
      {"full_attention", std::move(rope)},
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", local.value_or(10000.0)}}}};
  return {};
}

/// Refuses kinds of layers that the metadata can describe and llama.cpp computes, but that no class here computes.
Result<void> refuse_other_layers(const ConfigParts& parts) {
  for (const std::string_view key : {"nextn_predict_layers", "leading_dense_block_count", "ssm.conv_kernel",
                                     "attention.causal", "attention.chunk_size"}) {
    const bool is_read = is_deepseek(parts) && key == "leading_dense_block_count";
    if (is_read || !parts.keys.has(key)) continue;
    if (const Result<std::int64_t> value = parts.keys.integer(key); value) {
      if (*value == (key == "attention.causal" ? 1 : 0)) continue;
    }
    return parts.keys.unsupported(key, fmt::format("not supported in {}", parts.architecture.class_name));
  }
  return {};
}

}  // namespace

Result<const GgufArchitecture*> gguf_architecture(const GgufFiles& files) {
  const auto* name = files.header().find<std::string_view>("general.architecture");
  if (name == nullptr) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: general.architecture: expected a string, found none", files.name())};
  }
  const auto* found = std::ranges::find(kArchitectures, *name, &GgufArchitecture::name);
  if (found == kArchitectures.end()) {
    std::string names;
    for (const GgufArchitecture& known : kArchitectures) names.append(names.empty() ? "" : ", ").append(known.name);
    return Error{ErrorCode::kUnsupported, fmt::format("{}: general.architecture: expected one of {}; found {}",
                                                      files.name(), names, printable(*name))};
  }
  const auto* n_experts = files.header().find<std::int64_t>(fmt::format("{}.expert_count", *name));
  const bool is_mixture = *name == "llama" && n_experts != nullptr && *n_experts > 0;
  if (is_mixture) return &kMixtral;
  const auto* gating = files.header().find<std::int64_t>(fmt::format("{}.expert_gating_func", *name));
  const bool has_sigmoids = *name == kDeepseekV3.name && gating != nullptr && *gating == kSigmoidGating;
  return has_sigmoids ? &kDeepseekV3 : found;
}

Result<std::string> gguf_model_config(const GgufFiles& files, const GgufArchitecture& architecture,
                                      const GgufConfigExtras& extras) {
  const auto* config_class =
      std::ranges::find(detail::kConfigClasses, architecture.class_name, &detail::ConfigClass::class_name);
  SS_CHECK(config_class != detail::kConfigClasses.end(),
           "every architecture of the table has a class that is computed");
  OrderedJson json = {{"architectures", OrderedJson::array({architecture.class_name})},
                      {"model_type", config_class->family}};
  const ArchitectureKeys keys(files, architecture.name);
  const ConfigParts parts{files, architecture, *config_class, keys, json};
  SS_TRY_VOID(refuse_other_layers(parts));
  SS_TRY_VOID(add_sizes(parts));
  SS_TRY_VOID(is_deepseek(parts) ? add_latent(parts) : add_heads(parts));
  SS_TRY_VOID(add_feed_forward(parts));
  SS_TRY_VOID(add_window(parts));
  if (is_gemma(parts)) {
    SS_TRY_VOID(add_gemma(parts));
  } else {
    json["hidden_act"] = config_class->activation;
  }
  if (parts.is("granite") || parts.is("granitemoe")) SS_TRY_VOID(add_granite(parts));
  if (parts.is("cohere2") || parts.is("command-r")) SS_TRY_VOID(add_cohere(parts));
  add_biases(parts);
  SS_TRY_VOID(add_rope(parts));
  const auto* bos = files.header().find<std::int64_t>("tokenizer.ggml.bos_token_id");
  const bool has_bos = bos != nullptr && *bos >= 0 && *bos <= kMaxTokenId;
  json["bos_token_id"] = has_bos ? OrderedJson(*bos) : OrderedJson(nullptr);
  if (extras.eos_ids.empty()) {
    json["eos_token_id"] = nullptr;
  } else {
    json["eos_token_id"] = extras.eos_ids.size() == 1 ? OrderedJson(extras.eos_ids[0]) : OrderedJson(extras.eos_ids);
  }
  json["torch_dtype"] = extras.stored_type;
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace secondsource
