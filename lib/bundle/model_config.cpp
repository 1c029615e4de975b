#include "bundle/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bundle/config_class.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

using detail::ConfigClass;
using detail::kConfigClasses;
using detail::kDerived;
using detail::kNoValue;
using detail::WindowRule;

// These limits are far above every published model, and small enough that no product below overflows.
constexpr std::int64_t kMaxExtent = std::int64_t{1} << 20;
constexpr std::int64_t kMaxVocabSize = std::int64_t{1} << 24;
constexpr std::int64_t kMaxExperts = std::int64_t{1} << 16;  // counted over all layers
constexpr std::int64_t kMaxLayers = 4096;
constexpr std::int64_t kMaxHeads = 4096;
constexpr std::int64_t kMaxSeqLen = std::int64_t{1} << 27;

Error unsupported(const JsonFields& fields, std::string_view key, std::string_view what) {
  return Error{ErrorCode::kUnsupported, fmt::format("{}: {}: {}", fields.name(), key, what)};
}

/// A configuration file and the class that reads it.
struct Source {
  const JsonFields& fields;
  const Json& root;
  const ConfigClass& defaults;

  /// True if the key has the value null, which means "none"; an absent key means the class's default.
  [[nodiscard]] bool is_null(std::string_view key) const {
    const auto found = root.find(key);
    return found != root.end() && found->is_null();
  }
};

Result<const ConfigClass*> parse_class(const JsonFields& fields) {
  const Json* list = fields.find("architectures");
  if (list == nullptr || !list->is_array() || list->size() != 1 || !list->front().is_string()) {
    return fields.mismatch("architectures", "a list with one class name");
  }
  const auto class_name = list->front().get<std::string>();
  std::string known;
  for (const ConfigClass& candidate : kConfigClasses) {
    if (candidate.class_name == class_name) return &candidate;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", candidate.class_name);
  }
  return unsupported(fields, "architectures",
                     fmt::format("expected one of {}, found {}", known, printable(class_name)));
}

Result<std::int64_t> parse_kv_heads(const Source& source, std::int64_t n_heads) {
  const std::int64_t absent = source.defaults.num_key_value_heads;
  const bool is_derived = absent == kDerived || source.is_null("num_key_value_heads");
  SS_TRY(const std::int64_t found,
         source.fields.integer_or("num_key_value_heads", is_derived ? n_heads : absent, {.min = 1, .max = kMaxHeads}));
  if (found <= n_heads && n_heads % found == 0) return found;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: num_key_value_heads: expected a divisor of num_attention_heads = {}, found {}{}",
                           source.fields.name(), n_heads, found,
                           source.fields.has("num_key_value_heads") ? "" : ", the class's value for an absent key")};
}

Result<std::int64_t> parse_head_dim(const Source& source, const ModelConfig& config) {
  const JsonFields& fields = source.fields;
  const std::int64_t absent = source.defaults.head_dim;
  const bool is_derived = absent == kDerived || source.is_null("head_dim");
  if (!fields.has("head_dim") && is_derived && config.dim % config.n_heads != 0) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: hidden_size: expected a multiple of num_attention_heads = {}, "
                             "found {}",
                             fields.name(), config.n_heads, config.dim)};
  }
  SS_TRY(const std::int64_t found,
         fields.integer_or("head_dim", is_derived ? config.dim / config.n_heads : absent, {.min = 4, .max = 8192}));
  if (found >= 4 && found % 2 == 0) return found;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: head_dim: expected an even number of at least 4, found {}", fields.name(), found)};
}

Result<void> parse_sizes(const Source& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  const ConfigClass& defaults = source.defaults;
  const IntegerRange extent{.min = 1, .max = kMaxExtent};
  SS_TRY(config.dim, fields.integer_or("hidden_size", detail::kHiddenSize, extent));
  SS_TRY(config.ffn_dim, fields.integer_or("intermediate_size", defaults.intermediate_size, extent));
  SS_TRY(config.n_layers, fields.integer_or("num_hidden_layers", detail::kHiddenLayers, {.min = 1, .max = kMaxLayers}));
  SS_TRY(config.n_heads,
         fields.integer_or("num_attention_heads", detail::kAttentionHeads, {.min = 1, .max = kMaxHeads}));
  SS_TRY(config.n_kv_heads, parse_kv_heads(source, config.n_heads));
  SS_TRY(config.head_dim, parse_head_dim(source, config));
  SS_TRY(config.vocab_size, fields.integer_or("vocab_size", defaults.vocab_size, {.min = 1, .max = kMaxVocabSize}));
  SS_TRY(config.max_seq_len,
         fields.integer_or("max_position_embeddings", defaults.max_position_embeddings, {.min = 1, .max = kMaxSeqLen}));
  SS_TRY(config.norm_eps, fields.number_or("rms_norm_eps", defaults.rms_norm_eps));
  if (config.norm_eps < 0.0 || config.norm_eps > 1.0) return fields.mismatch("rms_norm_eps", "a number from 0 to 1");
  return {};
}

/// Refuses an option that adds biases, in the classes that have it; the others ignore the key.
Result<void> refuse_biases(const Source& source) {
  if (source.defaults.reads_attention_bias) {
    SS_TRY(const bool has_bias, source.fields.boolean_or("attention_bias", false));
    if (has_bias) {
      return unsupported(source.fields, "attention_bias", "biases on the output projection are not supported");
    }
  }
  if (source.defaults.reads_mlp_bias) {
    SS_TRY(const bool has_bias, source.fields.boolean_or("mlp_bias", false));
    if (has_bias) return unsupported(source.fields, "mlp_bias", "biases in the feed-forward network are not supported");
  }
  return {};
}

/// Reads the options that change the arithmetic, and refuses those that are not implemented.
Result<void> parse_options(const Source& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
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
  SS_TRY_VOID(refuse_biases(source));
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
    SS_TRY(config.n_experts, fields.integer_or("num_local_experts", detail::kLocalExperts,
                                               {.min = 1, .max = kMaxExperts / config.n_layers}));
    SS_TRY(config.n_experts_per_token,
           fields.integer_or("num_experts_per_tok", detail::kExpertsPerToken, {.min = 1, .max = kMaxExperts}));
    if (config.n_experts_per_token > config.n_experts) {
      return fields.mismatch("num_experts_per_tok", fmt::format("at most num_local_experts = {}", config.n_experts));
    }
  }
  SS_TRY(config.torch_dtype, fields.string_or(fields.has("dtype") ? "dtype" : "torch_dtype", ""));
  return {};
}

/// The object that scales the rotary embedding: rope_scaling of earlier versions, or else the rope_parameters of
/// transformers 5; nullopt if neither holds anything.
Result<std::optional<JsonFields>> find_rope_parameters(const JsonFields& fields) {
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    if (!fields.has(key)) continue;
    SS_TRY(JsonFields object, fields.object(key));
    if (fields.find(key)->empty()) continue;
    for (const Json& value : *fields.find(key)) {
      if (value.is_object()) return unsupported(fields, key, "parameters per kind of layer are not supported");
    }
    return std::optional(std::move(object));
  }
  return std::optional<JsonFields>();
}

Result<void> parse_rope_scaling(const JsonFields& fields, const JsonFields& scaling, const ModelConfig& config,
                                RopeConfig& rope) {
  SS_TRY(const std::string type, scaling.string_or(scaling.has("rope_type") ? "rope_type" : "type", "default"));
  const auto known = rope_type_from_name(type);
  if (!known) {
    return unsupported(scaling, "rope_type",
                       fmt::format("expected default, linear, dynamic, yarn or llama3, found {}", printable(type)));
  }
  rope.type = *known;
  SS_TRY(rope.theta, scaling.number_or("rope_theta", rope.theta));
  constexpr std::string_view kOriginal = "original_max_position_embeddings";
  const JsonFields& has_original = fields.has(kOriginal) ? fields : scaling;  // beside the object it takes precedence
  SS_TRY(rope.original_max_seq_len,
         has_original.integer_or(kOriginal, config.max_seq_len, {.min = 1, .max = kMaxSeqLen}));
  const double length_ratio = static_cast<double>(config.max_seq_len) / static_cast<double>(rope.original_max_seq_len);
  if (rope.type == RopeType::kYarn) {
    SS_TRY(rope.factor, scaling.number_or("factor", length_ratio));
  } else if (rope.type != RopeType::kDefault) {
    SS_TRY(rope.factor, scaling.number("factor"));
  }
  if (rope.type == RopeType::kLlama3) {
    SS_TRY(rope.low_freq_factor, scaling.number("low_freq_factor"));
    SS_TRY(rope.high_freq_factor, scaling.number("high_freq_factor"));
  }
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
  if (rope.type == RopeType::kLlama3 && !(rope.low_freq_factor > 0.0 && rope.high_freq_factor > rope.low_freq_factor)) {
    return scaling.mismatch("high_freq_factor", "a number above low_freq_factor, which is above 0");
  }
  return {};
}

Result<void> parse_rope(const Source& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  RopeConfig& rope = config.rope;
  SS_TRY(rope.theta, fields.number_or("rope_theta", source.defaults.rope_theta));
  SS_TRY(const std::optional<JsonFields> scaling, find_rope_parameters(fields));
  if (scaling) {
    SS_TRY_VOID(parse_rope_scaling(fields, *scaling, config, rope));
  }
  if (!(rope.theta > 1.0 && rope.theta <= 1e15)) return fields.mismatch("rope_theta", "a number from 1 to 1e15");
  config.rope_table =
      make_rope_table(rope, config.head_dim, {.max_seq_len = config.max_seq_len, .seq_len = config.max_seq_len});
  return {};
}

/// The value of sliding_window; the result 0 means no window. A 0 in the file is refused, because a token would then
/// attend to nothing, not even to itself.
Result<std::int64_t> parse_window(const Source& source) {
  if (source.is_null("sliding_window")) return 0;
  if (!source.fields.has("sliding_window")) return std::max<std::int64_t>(0, source.defaults.sliding_window);
  return source.fields.integer("sliding_window", {.min = 1, .max = kMaxSeqLen});
}

/// Reads the windows of classes that have them on some layers (Qwen).
Result<void> parse_layer_windows(const Source& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  SS_TRY(const bool used, fields.boolean_or("use_sliding_window", false));
  std::int64_t window = 0;
  if (used) {
    SS_TRY(window, parse_window(source));
  }
  if (const Json* layer_types = fields.find("layer_types")) {
    if (!layer_types->is_array() || layer_types->size() != config.windows.size()) {
      return fields.mismatch("layer_types", fmt::format("a list of {}", config.n_layers));
    }
    for (std::size_t layer = 0; layer < config.windows.size(); ++layer) {
      const Json& type = (*layer_types)[layer];
      if (type != "full_attention" && type != "sliding_attention") {
        return fields.mismatch("layer_types", "a list of full_attention and sliding_attention");
      }
      if (type == "full_attention") continue;
      if (window == 0) {
        return fields.mismatch(used ? "sliding_window" : "use_sliding_window",
                               "a window for the layers of sliding_attention");
      }
      config.windows[layer] = window;
    }
    return {};
  }
  SS_TRY(const std::int64_t first,
         fields.integer_or("max_window_layers", detail::kMaxWindowLayers, {.min = 0, .max = kMaxLayers}));
  std::fill(config.windows.begin() + std::min(first, config.n_layers), config.windows.end(), window);
  return {};
}

Result<void> parse_windows(const Source& source, ModelConfig& config) {
  config.windows.assign(static_cast<std::size_t>(config.n_layers), 0);
  switch (source.defaults.windows) {
    case WindowRule::kNone:
      return {};
    case WindowRule::kAll: {
      SS_TRY(const std::int64_t window, parse_window(source));
      config.windows.assign(config.windows.size(), window);
      return {};
    }
    case WindowRule::kByLayer:
      return parse_layer_windows(source, config);
  }
  return {};
}

Result<std::vector<std::int32_t>> eos_ids_of(const Json& eos, const JsonFields& fields) {
  std::vector<std::int32_t> ids;
  const Json list = eos.is_array() ? eos : Json::array({eos});
  for (const Json& value : list) {
    if (!value.is_number_integer() || value.get<double>() < 0 ||
        value.get<double>() > static_cast<double>(kMaxTokenId)) {
      return fields.mismatch("eos_token_id", "a token id or a list of token ids");
    }
    ids.push_back(value.get<std::int32_t>());
  }
  return ids;
}

Result<void> parse_special_ids(const Source& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  const Json* bos = fields.find("bos_token_id");
  if (bos != nullptr && !bos->is_array()) {
    SS_TRY(const std::int64_t id, fields.integer("bos_token_id", {.min = 0, .max = kMaxTokenId}));
    config.bos_id = static_cast<std::int32_t>(id);
  } else if (bos == nullptr && !source.is_null("bos_token_id") && source.defaults.bos_token_id != kNoValue) {
    config.bos_id = static_cast<std::int32_t>(source.defaults.bos_token_id);
  }
  const Json* eos = fields.find("eos_token_id");
  if (eos == nullptr) {
    if (source.is_null("eos_token_id") || source.defaults.eos_token_id == kNoValue) return {};
    config.eos_ids.push_back(static_cast<std::int32_t>(source.defaults.eos_token_id));
    return {};
  }
  SS_TRY(config.eos_ids, eos_ids_of(*eos, fields));
  return {};
}

}  // namespace

std::string_view to_string(Architecture architecture) {
  return kConfigClasses[static_cast<std::size_t>(architecture)].family;
}

Result<void> take_generation_config(std::string_view text, std::string_view name, ModelConfig& config) {
  SS_TRY(const Json root,
         parse_json(text, name, {.max_bytes = 1 << 20, .max_depth = 16, .allow_duplicate_keys = true}));
  SS_TRY(const JsonFields fields, JsonFields::of(root, std::string(name)));
  if (const Json* eos = fields.find("eos_token_id")) {
    SS_TRY(config.eos_ids, eos_ids_of(*eos, fields));
  }
  return {};
}

Result<ModelConfig> parse_model_config(std::string_view text, std::string_view name) {
  SS_TRY(const Json root, parse_json(text, name, {.max_bytes = 1 << 20, .max_depth = 16}));
  SS_TRY(const JsonFields fields, JsonFields::of(root, std::string(name)));
  SS_TRY(const ConfigClass* defaults, parse_class(fields));
  const Source source{fields, root, *defaults};
  ModelConfig config;
  config.architecture = defaults->architecture;
  SS_TRY_VOID(parse_sizes(source, config));
  SS_TRY_VOID(parse_options(source, config));
  SS_TRY_VOID(parse_rope(source, config));
  SS_TRY_VOID(parse_windows(source, config));
  SS_TRY_VOID(parse_special_ids(source, config));
  return config;
}

}  // namespace secondsource
