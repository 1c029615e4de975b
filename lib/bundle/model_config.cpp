#include "bundle/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "backend/op.h"
#include "bundle/config_source.h"
#include "core/json.h"
#include "core/utf8.h"

namespace secondsource {
namespace detail {

Error unsupported(const JsonFields& fields, std::string_view key, std::string_view what) {
  return Error{ErrorCode::kUnsupported, fmt::format("{}: {}: {}", fields.name(), key, what)};
}

bool ConfigSource::is_null(std::string_view key) const {
  const auto found = root.find(key);
  return found != root.end() && found->is_null();
}

}  // namespace detail

namespace {

using Json = nlohmann::json;

using detail::ConfigClass;
using detail::ConfigSource;
using detail::kConfigClasses;
using detail::kDerived;
using detail::kMaxExtent;
using detail::kMaxLayers;
using detail::kMaxSeqLen;
using detail::kNoValue;
using detail::unsupported;

constexpr std::int64_t kMaxVocabSize = std::int64_t{1} << 24;
constexpr std::int64_t kMaxHeads = 4096;
constexpr std::int64_t kMaxRank = std::int64_t{1} << 16;

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

Error quantized(const JsonFields& fields) {
  return unsupported(fields, "quantization_config",
                     "expected weights in F32, F16 or BF16; `secondsource bundle create --from-hf FOLDER --out "
                     "BUNDLE` makes such ones of FP8, GPTQ, AWQ, compressed-tensors and MXFP4");
}

/// The text part of a model that also has a part for pictures.
struct TextPart {
  Json keys;  ///< those of text_config, and what the file says of the whole model
  const ConfigClass* config_class = nullptr;
};

Result<TextPart> text_part(const JsonFields& file, const ConfigClass& defaults) {
  if (file.has("quantization_config")) return quantized(file);
  SS_TRY(const JsonFields fields, file.object("text_config"));
  const auto& [family, other_family] = defaults.text_families;
  SS_TRY(const std::string model_type, fields.string_or("model_type", family));
  if (model_type.empty() || (model_type != family && model_type != other_family)) {
    return unsupported(fields, "model_type",
                       fmt::format("expected {}{}{}, found {}", family, other_family.empty() ? "" : " or ",
                                   other_family, printable(model_type)));
  }
  TextPart part{.keys = *file.find("text_config"),
                .config_class = std::ranges::find(kConfigClasses, model_type, &ConfigClass::family)};
  for (const std::string_view key : {"tie_word_embeddings", "dtype", "torch_dtype"}) {
    if (file.has(key)) part.keys[key] = *file.find(key);
  }
  return part;
}

/// Reads the sizes of multi-head latent attention. Needs the number of heads.
Result<void> parse_latent(const ConfigSource& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  const detail::LatentKeys& keys = source.defaults.latent;
  LatentAttention& latent = config.latent;
  const IntegerRange rank{.min = 1, .max = kMaxRank};
  SS_TRY(latent.kv_rank, fields.integer_or("kv_lora_rank", keys.kv_lora_rank, rank));
  if (!source.is_null("q_lora_rank")) {
    SS_TRY(latent.q_rank, fields.integer_or("q_lora_rank", keys.q_lora_rank, rank));
  }
  const IntegerRange part{.min = 1, .max = 8192};
  SS_TRY(latent.plain_dim, fields.integer_or("qk_nope_head_dim", keys.qk_nope_head_dim, part));
  SS_TRY(latent.rotary_dim, fields.integer_or("qk_rope_head_dim", keys.qk_rope_head_dim, part));
  SS_TRY(latent.value_dim, fields.integer_or("v_head_dim", keys.v_head_dim, part));
  const auto wrong = [&](std::string_view key, const std::string& expected, std::int64_t found, bool is_present) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: {}: expected {}, found {}{}", fields.name(), key, expected, found,
                             is_present ? "" : ", the class's value for an absent key")};
  };
  if (latent.rotary_dim < 4 || latent.rotary_dim % 2 != 0) {
    return wrong("qk_rope_head_dim", "an even number of at least 4", latent.rotary_dim, true);
  }
  if (latent.kv_rank % 2 != 0) return wrong("kv_lora_rank", "an even number", latent.kv_rank, true);
  // The class derives head_dim, but transformers writes it to the file.
  SS_TRY(const std::int64_t head_dim, fields.integer_or("head_dim", latent.rotary_dim, part));
  if (head_dim != latent.rotary_dim) {
    return wrong("head_dim", fmt::format("none, or qk_rope_head_dim = {}", latent.rotary_dim), head_dim, true);
  }
  const std::int64_t absent = source.defaults.num_key_value_heads;
  const bool is_derived = absent == kDerived || source.is_null("num_key_value_heads");
  SS_TRY(const std::int64_t n_kv_heads,
         fields.integer_or("num_key_value_heads", is_derived ? config.n_heads : absent, {.min = 1, .max = kMaxHeads}));
  if (n_kv_heads != config.n_heads) {
    return wrong("num_key_value_heads", fmt::format("num_attention_heads = {}", config.n_heads), n_kv_heads,
                 fields.has("num_key_value_heads"));
  }
  if (config.architecture == Architecture::kDeepseekV2 && config.dim % config.n_heads != 0) {
    return wrong("hidden_size", fmt::format("a multiple of num_attention_heads = {}", config.n_heads), config.dim,
                 true);
  }
  config.n_kv_heads = 1;
  config.head_dim = latent.kv_rank + latent.rotary_dim;
  return {};
}

Result<std::int64_t> parse_kv_heads(const ConfigSource& source, std::int64_t n_heads) {
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

Result<std::int64_t> parse_head_dim(const ConfigSource& source, const ModelConfig& config) {
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

Result<void> parse_sizes(const ConfigSource& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  const ConfigClass& defaults = source.defaults;
  const IntegerRange extent{.min = 1, .max = kMaxExtent};
  SS_TRY(config.dim, fields.integer_or("hidden_size", defaults.hidden_size, extent));
  SS_TRY(config.ffn_dim, fields.integer_or("intermediate_size", defaults.intermediate_size, extent));
  SS_TRY(config.n_layers,
         fields.integer_or("num_hidden_layers", defaults.num_hidden_layers, {.min = 1, .max = kMaxLayers}));
  SS_TRY(config.n_heads,
         fields.integer_or("num_attention_heads", defaults.num_attention_heads, {.min = 1, .max = kMaxHeads}));
  if (defaults.latent.kv_lora_rank > 0) {
    SS_TRY_VOID(parse_latent(source, config));
  } else {
    SS_TRY(config.n_kv_heads, parse_kv_heads(source, config.n_heads));
    SS_TRY(config.head_dim, parse_head_dim(source, config));
  }
  SS_TRY(config.vocab_size, fields.integer_or("vocab_size", defaults.vocab_size, {.min = 1, .max = kMaxVocabSize}));
  SS_TRY(config.max_seq_len,
         fields.integer_or("max_position_embeddings", defaults.max_position_embeddings, {.min = 1, .max = kMaxSeqLen}));
  SS_TRY(config.norm_eps, fields.number_or(defaults.norm_eps_key, defaults.rms_norm_eps));
  if (config.norm_eps < 0.0 || config.norm_eps > 1.0) {
    return fields.mismatch(defaults.norm_eps_key, "a number from 0 to 1");
  }
  return {};
}

Result<bool> parse_bias(const JsonFields& fields, const detail::BiasKey& bias) {
  if (bias.key.empty()) return bias.absent;
  return fields.boolean_or(bias.key, bias.absent);
}

Result<void> parse_biases(const ConfigSource& source, ModelConfig& config) {
  const ConfigClass& defaults = source.defaults;
  SS_TRY(config.qkv_bias, parse_bias(source.fields, defaults.qkv_bias));
  SS_TRY(config.out_bias, parse_bias(source.fields, defaults.out_bias));
  SS_TRY(config.ffn_bias, parse_bias(source.fields, defaults.mlp_bias));
  return {};
}

/// A factor of the forward pass. It must not be 0, because some factors are used as divisors.
Result<double> parse_multiplier(const JsonFields& fields, std::string_view key, double absent = 1.0) {
  SS_TRY(const double found, fields.number_or(key, absent));
  if (found >= 1e-6 && found <= 1e6) return found;
  return fields.mismatch(key, "a number from 1e-6 to 1e6");
}

/// The value of a soft cap; 0: none.
Result<double> parse_softcap(const ConfigSource& source, std::string_view key, double absent) {
  if (source.is_null(key)) return 0.0;
  SS_TRY(const double found, source.fields.number_or(key, absent));
  if (found == absent || (found > 0.0 && found <= 1e6)) return found;
  return source.fields.mismatch(key, "a number above 0 and up to 1e6");
}

/// Reads the factors of the embedding, attention scores, blocks and logits, and the caps of scores and logits.
Result<void> parse_scales(const ConfigSource& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  const ConfigClass& defaults = source.defaults;
  auto scores_divisor = static_cast<double>(config.latent.is_present() ? config.latent.qk_dim() : config.head_dim);
  if (defaults.query_pre_attn_scalar > 0) {
    SS_TRY(const std::int64_t scalar,
           fields.integer_or("query_pre_attn_scalar", defaults.query_pre_attn_scalar, {.min = 1, .max = kMaxExtent}));
    scores_divisor = static_cast<double>(scalar);
  }
  config.attention_scale = 1.0 / std::sqrt(scores_divisor);
  if (defaults.scales_embedding) config.embedding_scale = std::sqrt(static_cast<double>(config.dim));
  if (defaults.has_attention_softcap) {
    SS_TRY(config.attention_softcap, parse_softcap(source, "attn_logit_softcapping", defaults.attn_logit_softcapping));
  }
  // Gemma 3 for text and pictures does not cap its logits, whatever its configuration says (Gemma3ForConditionalGeneration.forward).
  if (defaults.has_logit_softcap && !config.is_text_part) {
    SS_TRY(config.logit_softcap, parse_softcap(source, "final_logit_softcapping", defaults.final_logit_softcapping));
  }
  if (defaults.logit_scale > 0.0) {
    SS_TRY(config.logit_scale, parse_multiplier(fields, "logit_scale", defaults.logit_scale));
  }
  if (!defaults.reads_multipliers) return {};
  SS_TRY(config.embedding_scale, parse_multiplier(fields, "embedding_multiplier"));
  SS_TRY(config.residual_scale, parse_multiplier(fields, "residual_multiplier"));
  SS_TRY(config.attention_scale, parse_multiplier(fields, "attention_multiplier"));
  SS_TRY(const double logits_divisor, parse_multiplier(fields, "logits_scaling"));
  config.logit_scale = 1.0 / logits_divisor;
  return {};
}

/// Checks that a constant of the clamped SwiGLU is the one that the operation has built in.
Result<void> expect_constant(const JsonFields& fields, std::string_view key, float expected) {
  SS_TRY(const double found, fields.number_or(key, static_cast<double>(expected)));
  if (static_cast<float>(found) == expected) return {};
  return unsupported(fields, key, fmt::format("expected {}, found {}", expected, found));
}

Result<Activation> parse_activation(const ConfigSource& source) {
  const JsonFields& fields = source.fields;
  const ConfigClass& defaults = source.defaults;
  if (defaults.has_clamped_swish) {
    SS_TRY_VOID(expect_constant(fields, "swiglu_alpha", kClampedSwish.alpha));
    SS_TRY_VOID(expect_constant(fields, "swiglu_limit", kClampedSwish.limit));
    return Activation::kClampedSwiGlu;
  }
  SS_TRY(const std::string activation, fields.string_or(defaults.activation_key, defaults.activation));
  if (activation == "silu" || activation == "swish") return Activation::kSilu;
  if (activation == "gelu_pytorch_tanh" || (activation == "gelu" && defaults.gelu_is_tanh)) {
    return Activation::kGeluTanh;
  }
  return unsupported(fields, defaults.activation_key,
                     fmt::format("expected silu or gelu_pytorch_tanh, found {}", printable(activation)));
}

/// Reads the options that change the arithmetic, and refuses those that are not implemented.
Result<void> parse_options(const ConfigSource& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  const ConfigClass& defaults = source.defaults;
  SS_TRY(config.activation, parse_activation(source));
  if (!defaults.gated_ffn && config.activation != Activation::kGeluTanh) {
    return unsupported(fields, defaults.activation_key, "expected gelu_pytorch_tanh without a gate, found another");
  }
  SS_TRY(config.tied_embeddings, fields.boolean_or("tie_word_embeddings", defaults.tie_word_embeddings));
  SS_TRY_VOID(parse_biases(source, config));
  SS_TRY_VOID(parse_scales(source, config));
  if (fields.has("quantization_config")) return quantized(fields);
  if (defaults.scales_embedding) {  // Gemma
    SS_TRY(const bool sees_later_tokens, fields.boolean_or("use_bidirectional_attention", false));
    if (sees_later_tokens) {
      return unsupported(fields, "use_bidirectional_attention", "attention to later tokens is not supported");
    }
  }
  config.qk_norm = defaults.qk_norm;
  if (defaults.may_center_heads) {
    SS_TRY(const bool centers_heads, fields.boolean_or("use_qk_norm", false));
    if (centers_heads) config.qk_norm = QkNorm::kEachHeadCentered;
  }
  config.attention_sinks = defaults.has_attention_sinks;
  config.fused_projections = defaults.has_fused_projections;
  config.norms_add_one = defaults.norms_add_one;
  config.norms_center = defaults.norms_center;
  config.norm_biases = defaults.norm_biases;
  config.parallel_blocks = defaults.parallel_blocks;
  config.gated_ffn = defaults.gated_ffn;
  config.block_norms = defaults.block_norms;
  SS_TRY(config.torch_dtype, fields.string_or(fields.has("dtype") ? "dtype" : "torch_dtype", ""));
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

Result<void> parse_special_ids(const ConfigSource& source, ModelConfig& config) {
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

bool ModelConfig::is_rotated(std::int64_t layer) const {
  const auto table = static_cast<std::size_t>(layer_ropes[static_cast<std::size_t>(layer)]);
  return rope_tables[table].inv_freq.front() != 0.0F;
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
  SS_TRY(const JsonFields file, JsonFields::of(root, std::string(name)));
  SS_TRY(const ConfigClass* defaults, parse_class(file));
  const bool is_text_part = !defaults->text_families[0].empty();
  TextPart part{.keys = {}, .config_class = defaults};
  if (is_text_part) {
    SS_TRY(part, text_part(file, *defaults));
  }
  const Json& object = is_text_part ? part.keys : root;
  SS_TRY(const JsonFields fields,
         JsonFields::of(object, is_text_part ? fmt::format("{}: text_config", name) : std::string(name)));
  const ConfigSource source{fields, object, *part.config_class};
  ModelConfig config;
  config.architecture = defaults->architecture;
  config.is_text_part = is_text_part;
  SS_TRY_VOID(parse_sizes(source, config));
  SS_TRY_VOID(parse_options(source, config));
  SS_TRY_VOID(detail::parse_mixture(source, config));
  SS_TRY_VOID(detail::parse_windows(source, config));
  SS_TRY_VOID(detail::parse_rope(source, config));
  SS_TRY_VOID(parse_special_ids(source, config));
  return config;
}

}  // namespace secondsource
