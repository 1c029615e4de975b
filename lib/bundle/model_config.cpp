#include "bundle/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/json_fields.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

struct ArchitectureRow {
  Architecture architecture;
  std::string_view family;
  std::string_view class_name;
};
constexpr std::array kArchitectures = {
    ArchitectureRow{Architecture::kLlama, "llama", "LlamaForCausalLM"},
    ArchitectureRow{Architecture::kMistral, "mistral", "MistralForCausalLM"},
    ArchitectureRow{Architecture::kQwen2, "qwen2", "Qwen2ForCausalLM"},
    ArchitectureRow{Architecture::kQwen3, "qwen3", "Qwen3ForCausalLM"},
    ArchitectureRow{Architecture::kMixtral, "mixtral", "MixtralForCausalLM"},
};

// These limits are far above every published model, and small enough that no product below overflows.
constexpr std::int64_t kMaxExtent = std::int64_t{1} << 20;
constexpr std::int64_t kMaxVocabSize = std::int64_t{1} << 24;
constexpr std::int64_t kMaxExperts = std::int64_t{1} << 16;  // counted over all layers
constexpr std::int64_t kMaxLayers = 4096;
constexpr std::int64_t kMaxHeads = 4096;
constexpr std::int64_t kMaxSeqLen = std::int64_t{1} << 27;
constexpr std::int64_t kMaxTokenId = (std::int64_t{1} << 31) - 1;

Error unsupported(const JsonFields& fields, std::string_view key, std::string_view what) {
  return Error{ErrorCode::kUnsupported, fmt::format("{}: {}: {}", fields.name(), key, what)};
}

Result<Architecture> parse_architecture(const JsonFields& fields) {
  const Json* list = fields.find("architectures");
  if (list == nullptr || !list->is_array() || list->size() != 1 || !list->front().is_string()) {
    return fields.mismatch("architectures", "a list with one class name");
  }
  const auto class_name = list->front().get<std::string>();
  std::string known;
  for (const ArchitectureRow& row : kArchitectures) {
    if (row.class_name == class_name) return row.architecture;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.class_name);
  }
  return unsupported(fields, "architectures",
                     fmt::format("expected one of {}, found {}", known, printable(class_name)));
}

Result<void> parse_sizes(const JsonFields& fields, ModelConfig& config) {
  const IntegerRange extent{.min = 1, .max = kMaxExtent};
  SS_TRY(config.dim, fields.integer("hidden_size", extent));
  SS_TRY(config.ffn_dim, fields.integer("intermediate_size", extent));
  SS_TRY(config.n_layers, fields.integer("num_hidden_layers", {.min = 1, .max = kMaxLayers}));
  SS_TRY(config.n_heads, fields.integer("num_attention_heads", {.min = 1, .max = kMaxHeads}));
  SS_TRY(config.n_kv_heads,
         fields.integer_or("num_key_value_heads", config.n_heads, {.min = 1, .max = config.n_heads}));
  if (config.n_heads % config.n_kv_heads != 0) {
    return fields.mismatch("num_key_value_heads", fmt::format("a divisor of num_attention_heads = {}", config.n_heads));
  }
  if (!fields.has("head_dim") && config.dim % config.n_heads != 0) {
    return fields.mismatch("hidden_size", fmt::format("a multiple of num_attention_heads = {}", config.n_heads));
  }
  SS_TRY(config.head_dim, fields.integer_or("head_dim", config.dim / config.n_heads, {.min = 4, .max = 8192}));
  if (config.head_dim < 4 || config.head_dim % 2 != 0) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: head_dim: expected an even number of at least 4, found {}",
                                                       fields.name(), config.head_dim)};
  }
  SS_TRY(config.vocab_size, fields.integer("vocab_size", {.min = 1, .max = kMaxVocabSize}));
  SS_TRY(config.max_seq_len, fields.integer("max_position_embeddings", {.min = 1, .max = kMaxSeqLen}));
  SS_TRY(config.norm_eps, fields.number("rms_norm_eps"));
  if (config.norm_eps < 0.0 || config.norm_eps > 1.0) return fields.mismatch("rms_norm_eps", "a number from 0 to 1");
  return {};
}

/// Reads the options that change the arithmetic, and refuses those that are not implemented.
Result<void> parse_options(const JsonFields& fields, ModelConfig& config) {
  SS_TRY(const std::string activation, fields.string_or("hidden_act", "silu"));
  if (activation == "silu" || activation == "swish") {
    config.activation = Activation::kSilu;
  } else if (activation == "gelu_pytorch_tanh") {
    config.activation = Activation::kGeluTanh;
  } else {
    return unsupported(fields, "hidden_act",
                       fmt::format("expected silu or gelu_pytorch_tanh, found {}", printable(activation)));
  }
  SS_TRY(config.tied_embeddings, fields.boolean_or("tie_word_embeddings", false));
  SS_TRY(const bool attention_bias, fields.boolean_or("attention_bias", false));
  if (attention_bias) return unsupported(fields, "attention_bias", "biases on the output projection are not supported");
  SS_TRY(const bool mlp_bias, fields.boolean_or("mlp_bias", false));
  if (mlp_bias) return unsupported(fields, "mlp_bias", "biases in the feed-forward network are not supported");
  SS_TRY(const double rotary_share, fields.number_or("partial_rotary_factor", 1.0));
  if (rotary_share != 1.0)
    return unsupported(fields, "partial_rotary_factor", "rotating a part of a head is not supported");
  if (fields.has("quantization_config")) {
    return unsupported(fields, "quantization_config",
                       "expected weights in F32, F16 or BF16; bring the unquantized model");
  }
  config.qkv_bias = config.architecture == Architecture::kQwen2;
  config.qk_norm = config.architecture == Architecture::kQwen3;
  if (config.architecture == Architecture::kMixtral) {
    SS_TRY(config.n_experts, fields.integer("num_local_experts", {.min = 1, .max = kMaxExperts / config.n_layers}));
    SS_TRY(config.n_experts_per_token, fields.integer("num_experts_per_tok", {.min = 1, .max = config.n_experts}));
  }
  SS_TRY(config.torch_dtype, fields.string_or(fields.has("dtype") ? "dtype" : "torch_dtype", ""));
  return {};
}

/// transformers 5 writes one object rope_parameters; earlier versions write rope_theta beside rope_scaling.
Result<void> parse_rope(const JsonFields& fields, ModelConfig& config) {
  RopeConfig& rope = config.rope;
  SS_TRY(rope.theta, fields.number_or("rope_theta", 10000.0));
  const std::string_view key = fields.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (fields.has(key)) {
    SS_TRY(const JsonFields scaling, fields.object(key));
    SS_TRY(const std::string type, scaling.string_or(scaling.has("rope_type") ? "rope_type" : "type", "default"));
    const auto known = rope_type_from_name(type);
    if (!known) {
      return unsupported(scaling, "rope_type",
                         fmt::format("expected default, linear, dynamic, yarn or llama3, found {}", printable(type)));
    }
    rope.type = *known;
    SS_TRY(rope.theta, scaling.number_or("rope_theta", rope.theta));
    SS_TRY(rope.original_max_seq_len,
           scaling.integer_or("original_max_position_embeddings", config.max_seq_len, {.min = 1, .max = kMaxSeqLen}));
    const double length_ratio =
        static_cast<double>(config.max_seq_len) / static_cast<double>(rope.original_max_seq_len);
    if (rope.type == RopeType::kYarn) {
      SS_TRY(rope.factor, scaling.number_or("factor", length_ratio));
    } else if (rope.type != RopeType::kDefault) {
      SS_TRY(rope.factor, scaling.number("factor"));
    }
    SS_TRY(rope.low_freq_factor, scaling.number_or("low_freq_factor", rope.low_freq_factor));
    SS_TRY(rope.high_freq_factor, scaling.number_or("high_freq_factor", rope.high_freq_factor));
    SS_TRY(rope.beta_fast, scaling.number_or("beta_fast", rope.beta_fast));
    SS_TRY(rope.beta_slow, scaling.number_or("beta_slow", rope.beta_slow));
    SS_TRY(rope.truncate, scaling.boolean_or("truncate", true));
    SS_TRY(rope.mscale, scaling.number_or("mscale", 0.0));
    SS_TRY(rope.mscale_all_dim, scaling.number_or("mscale_all_dim", 0.0));
    if (scaling.has("attention_factor")) {
      SS_TRY(rope.attention_factor, scaling.number("attention_factor"));
    }
    SS_TRY(const double rotary_share, scaling.number_or("partial_rotary_factor", 1.0));
    if (rotary_share != 1.0) {
      return unsupported(scaling, "partial_rotary_factor", "rotating a part of a head is not supported");
    }
    if (rope.factor < 1.0 || rope.factor > 1e6) return scaling.mismatch("factor", "a number from 1 to 1e6");
    if (rope.beta_fast <= 0.0 || rope.beta_slow <= 0.0) return scaling.mismatch("beta_fast", "betas above 0");
    if (rope.type == RopeType::kLlama3 &&
        !(rope.low_freq_factor > 0.0 && rope.high_freq_factor > rope.low_freq_factor)) {
      return scaling.mismatch("high_freq_factor", "a number above low_freq_factor, which is above 0");
    }
  }
  if (!(rope.theta > 1.0 && rope.theta <= 1e15)) return fields.mismatch("rope_theta", "a number from 1 to 1e15");
  config.rope_table =
      make_rope_table(rope, config.head_dim, {.max_seq_len = config.max_seq_len, .seq_len = config.max_seq_len});
  return {};
}

/// Reads the sliding windows: on all layers (Mistral), on the layers from max_window_layers on (Qwen), or as
/// layer_types lists them.
Result<void> parse_windows(const JsonFields& fields, ModelConfig& config) {
  config.windows.assign(static_cast<std::size_t>(config.n_layers), 0);
  SS_TRY(const std::int64_t window, fields.integer_or("sliding_window", 0, {.min = 0, .max = kMaxSeqLen}));
  const bool is_qwen = config.architecture == Architecture::kQwen2 || config.architecture == Architecture::kQwen3;
  SS_TRY(const bool used, fields.boolean_or("use_sliding_window", !is_qwen));
  if (const Json* layer_types = fields.find("layer_types")) {
    if (!layer_types->is_array() || layer_types->size() != config.windows.size()) {
      return fields.mismatch("layer_types", fmt::format("a list of {}", config.n_layers));
    }
    for (std::size_t layer = 0; layer < config.windows.size(); ++layer) {
      const Json& type = (*layer_types)[layer];
      if (type == "sliding_attention") {
        if (window == 0) return fields.mismatch("sliding_window", "a window for the layers of sliding_attention");
        config.windows[layer] = window;
      } else if (type != "full_attention") {
        return fields.mismatch("layer_types", "a list of full_attention and sliding_attention");
      }
    }
    return {};
  }
  const bool has_windows = config.architecture != Architecture::kLlama;
  if (window == 0 || !used || !has_windows) return {};
  SS_TRY(const std::int64_t first,
         fields.integer_or("max_window_layers", is_qwen ? 28 : 0, {.min = 0, .max = kMaxLayers}));
  const std::int64_t n_full = is_qwen ? std::min(first, config.n_layers) : 0;
  std::fill(config.windows.begin() + n_full, config.windows.end(), window);
  return {};
}

Result<void> parse_special_ids(const JsonFields& fields, ModelConfig& config) {
  if (const Json* bos = fields.find("bos_token_id"); bos != nullptr && !bos->is_array()) {
    SS_TRY(const std::int64_t id, fields.integer("bos_token_id", {.min = 0, .max = kMaxTokenId}));
    config.bos_id = static_cast<std::int32_t>(id);
  }
  const Json* eos = fields.find("eos_token_id");
  if (eos == nullptr) return {};
  const Json list = eos->is_array() ? *eos : Json::array({*eos});
  for (const Json& value : list) {
    if (!value.is_number_integer() || value.get<double>() < 0 ||
        value.get<double>() > static_cast<double>(kMaxTokenId)) {
      return fields.mismatch("eos_token_id", "a token id or a list of token ids");
    }
    config.eos_ids.push_back(value.get<std::int32_t>());
  }
  return {};
}

}  // namespace

std::string_view to_string(Architecture architecture) {
  return kArchitectures[static_cast<std::size_t>(architecture)].family;
}

Result<ModelConfig> parse_model_config(std::string_view text, std::string_view name) {
  SS_TRY(const Json root, parse_json(text, name, {.max_bytes = 1 << 20, .max_depth = 16}));
  SS_TRY(const JsonFields fields, JsonFields::of(root, std::string(name)));
  ModelConfig config;
  SS_TRY(config.architecture, parse_architecture(fields));
  SS_TRY_VOID(parse_sizes(fields, config));
  SS_TRY_VOID(parse_options(fields, config));
  SS_TRY_VOID(parse_rope(fields, config));
  SS_TRY_VOID(parse_windows(fields, config));
  SS_TRY_VOID(parse_special_ids(fields, config));
  return config;
}

}  // namespace secondsource
