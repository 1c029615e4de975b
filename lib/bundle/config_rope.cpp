#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "bundle/config_source.h"
#include "core/utf8.h"

namespace secondsource::detail {
namespace {

/// The object that scales the rotary embedding: rope_scaling of earlier versions, or else the rope_parameters of
/// transformers 5, or else `absent`, if it is not null; nullopt if none holds anything.
Result<std::optional<JsonFields>> find_rope_parameters(const JsonFields& fields, const nlohmann::json& absent) {
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    if (!fields.has(key)) continue;
    SS_TRY(JsonFields object, fields.object(key));
    if (fields.find(key)->empty()) continue;
    for (const nlohmann::json& value : *fields.find(key)) {
      if (value.is_object()) return unsupported(fields, key, "parameters per kind of layer are not supported");
    }
    return std::optional(std::move(object));
  }
  // A rope_parameters that is present but empty does not count as absent.
  if (absent.is_null() || fields.has("rope_parameters")) return std::optional<JsonFields>();
  SS_TRY(JsonFields object, JsonFields::of(absent, fmt::format("{}: rope_parameters", fields.name())));
  return std::optional(std::move(object));
}

/// A list of LongRoPE's factors, one for each pair.
Result<std::vector<double>> parse_factors(const JsonFields& scaling, std::string_view key, std::int64_t n_pairs) {
  const nlohmann::json* list = scaling.find(key);
  const std::string expected = fmt::format("a list of {} numbers above 0", n_pairs);
  if (list == nullptr || !list->is_array() || list->size() != static_cast<std::size_t>(n_pairs)) {
    return scaling.mismatch(key, expected);
  }
  std::vector<double> factors;
  for (const nlohmann::json& factor : *list) {
    if (!factor.is_number() || !(factor.get<double>() > 0.0 && factor.get<double>() <= 1e6)) {
      return scaling.mismatch(key, expected);
    }
    factors.push_back(factor.get<double>());
  }
  return factors;
}

/// The width of the part of a head that a rope table covers: the whole head, or with latent attention the elements
/// after the latent.
std::int64_t rotated_head_dim(const ModelConfig& config) {
  return config.latent.is_present() ? config.latent.rotary_dim : config.head_dim;
}

/// How many elements of a head are rotated; `share` is partial_rotary_factor.
Result<std::int64_t> rotary_dim_of(const ConfigSource& source, const JsonFields& found_in, double share,
                                   std::int64_t head_dim) {
  constexpr std::string_view kKey = "partial_rotary_factor";
  if (share != 1.0 && !source.defaults.reads_partial_rotary) {
    return unsupported(found_in, kKey, fmt::format("{} rotates whole heads", source.defaults.class_name));
  }
  const auto rotary_dim = static_cast<std::int64_t>(static_cast<double>(head_dim) * share);
  if (share > 0.0 && share <= 1.0 && rotary_dim >= 2 && rotary_dim % 2 == 0) return rotary_dim;
  return found_in.mismatch(kKey, fmt::format("a share that gives an even part of head_dim = {}", head_dim));
}

Result<RopeType> rope_type_of(const ConfigSource& source, const JsonFields& scaling) {
  SS_TRY(std::string type, scaling.string_or(scaling.has("rope_type") ? "rope_type" : "type", "default"));
  const bool is_phi3 = source.defaults.architecture == Architecture::kPhi3;
  if (is_phi3 && (type == "su" || type == "yarn")) type = "longrope";  // its earlier names there
  const auto known = rope_type_from_name(type);
  if (known && (!is_phi3 || *known == RopeType::kDefault || *known == RopeType::kLongRope)) return *known;
  return unsupported(scaling, "rope_type",
                     fmt::format("expected {}, found {}",
                                 is_phi3 ? "default or longrope" : "default, linear, dynamic, yarn, llama3 or longrope",
                                 printable(type)));
}

constexpr std::string_view kOriginalLength = "original_max_position_embeddings";

/// The length that the model was trained with before its rotations were scaled.
Result<std::int64_t> original_max_seq_len_of(const ConfigSource& source, const JsonFields& scaling, RopeType type,
                                             std::int64_t max_seq_len) {
  const std::int64_t own = source.defaults.original_max_position_embeddings;
  const bool is_scaled_by_length = type == RopeType::kYarn || type == RopeType::kLlama3 || type == RopeType::kLongRope;
  const bool is_needed = source.defaults.grows_queries && !is_scaled_by_length;
  if (is_needed && !scaling.has(kOriginalLength)) return scaling.mismatch(kOriginalLength, "an integer");
  // The key beside the scaling object takes precedence over the key in it, unless each kind of layer has an object of
  // its own.
  const bool is_of_kind = source.defaults.rope_local_base_freq > 0.0;
  const bool is_beside = !is_of_kind && !is_needed && (source.fields.has(kOriginalLength) || own != kDerived);
  return (is_beside ? source.fields : scaling)
      .integer_or(kOriginalLength, own != kDerived ? own : max_seq_len, {.min = 1, .max = kMaxSeqLen});
}

Result<void> check_ranges(const JsonFields& scaling, const RopeConfig& rope) {
  if (rope.type == RopeType::kLongRope) {
    if (rope.factor > 1.0 && rope.original_max_seq_len == 1) return scaling.mismatch(kOriginalLength, "at least 2");
    return {};
  }
  if (rope.factor < 1.0 || rope.factor > 1e6) return scaling.mismatch("factor", "a number from 1 to 1e6");
  if (rope.beta_fast <= 0.0 || rope.beta_slow <= 0.0) return scaling.mismatch("beta_fast", "betas above 0");
  if (rope.type == RopeType::kLlama3 && !(rope.low_freq_factor > 0.0 && rope.high_freq_factor > rope.low_freq_factor)) {
    return scaling.mismatch("high_freq_factor", "a number above low_freq_factor, which is above 0");
  }
  return {};
}

/// Reads the scaling object's own numbers, except for those that depend on the width of a head.
Result<void> parse_scaling_numbers(const ConfigSource& source, const JsonFields& scaling, std::int64_t max_seq_len,
                                   RopeConfig& rope) {
  SS_TRY(rope.theta, scaling.number_or("rope_theta", rope.theta));
  SS_TRY(rope.original_max_seq_len, original_max_seq_len_of(source, scaling, rope.type, max_seq_len));
  const double length_ratio = static_cast<double>(max_seq_len) / static_cast<double>(rope.original_max_seq_len);
  if (rope.type == RopeType::kYarn || rope.type == RopeType::kLongRope) {
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
  if (!source.defaults.grows_queries) return {};
  constexpr std::string_view kBeta = "llama_4_scaling_beta";
  SS_TRY(rope.query_beta, scaling.number(kBeta));
  if (rope.query_beta >= 0.0 && rope.query_beta <= 100.0) return {};
  return scaling.mismatch(kBeta, "a number from 0 to 100");
}

Result<void> parse_rope_scaling(const ConfigSource& source, const JsonFields& scaling, ModelConfig& config,
                                RopeConfig& rope) {
  SS_TRY(rope.type, rope_type_of(source, scaling));
  SS_TRY_VOID(parse_scaling_numbers(source, scaling, config.max_seq_len, rope));
  if (scaling.has("partial_rotary_factor")) {
    SS_TRY(const double share, scaling.number("partial_rotary_factor"));
    SS_TRY(config.rotary_dim, rotary_dim_of(source, scaling, share, rotated_head_dim(config)));
  }
  if (rope.type == RopeType::kLongRope) {
    SS_TRY(rope.short_factors, parse_factors(scaling, "short_factor", config.rotary_dim / 2));
    SS_TRY(rope.long_factors, parse_factors(scaling, "long_factor", config.rotary_dim / 2));
  }
  return check_ranges(scaling, rope);
}

Error bad_theta(const JsonFields& fields, std::string_view key) {
  return fields.mismatch(key, "a number from 1 to 1e15");
}

bool is_theta(double theta) {
  return theta > 1.0 && theta <= 1e15;
}

/// The rotation of layers of one kind, which rope_parameters describes under `kind`. Earlier versions of transformers
/// wrote `theta_key` and, if `scaling_key` is not empty, scaled with that object, which takes precedence.
Result<RopeConfig> parse_rope_of(std::string_view kind, std::string_view theta_key, double theta,
                                 std::string_view scaling_key, const ConfigSource& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  RopeConfig rope;
  SS_TRY(rope.theta, fields.number_or(theta_key, theta));
  // Without parameters for this kind the class starts from these, so the older key `type` of the scaling object has no
  // effect.
  nlohmann::json merged = {{"rope_type", "default"}};
  if (fields.has("rope_parameters")) {
    SS_TRY(const JsonFields parameters, fields.object("rope_parameters"));
    if (parameters.has(kind)) {
      SS_TRY_VOID(parameters.object(kind));
      merged = *parameters.find(kind);
    }
  }
  if (!scaling_key.empty() && fields.has(scaling_key)) {
    SS_TRY_VOID(fields.object(scaling_key));
    merged.update(*fields.find(scaling_key));
  }
  if (!merged.empty()) {
    SS_TRY(const JsonFields scaling,
           JsonFields::of(merged, fmt::format("{}: rope_parameters: {}", fields.name(), kind)));
    SS_TRY_VOID(parse_rope_scaling(source, scaling, config, rope));
    // transformers reads `truncate` from the object around the parameters of the kinds of layers, where it is no key.
    if (!rope.truncate)
      return scaling.mismatch("truncate", "true, the only value that transformers follows for kinds of layers");
  }
  if (!is_theta(rope.theta)) return bad_theta(fields, theta_key);
  return rope;
}

/// The table for sequences of up to `seq_len` tokens.
RopeTable table_of(const RopeConfig& rope, const ModelConfig& config, std::int64_t seq_len) {
  RopeTable table = make_rope_table(rope, config.rotary_dim, {.max_seq_len = config.max_seq_len, .seq_len = seq_len});
  table.inv_freq.resize(static_cast<std::size_t>(rotated_head_dim(config) / 2), 0.0F);
  return table;
}

/// Reads two rotations: that of layers without a window, and that of layers with one (Gemma 3).
Result<void> parse_two_ropes(const ConfigSource& source, ModelConfig& config) {
  SS_TRY(config.rope,
         parse_rope_of("full_attention", "rope_theta", source.defaults.rope_theta, "rope_scaling", source, config));
  SS_TRY(const RopeConfig local, parse_rope_of("sliding_attention", "rope_local_base_freq",
                                               source.defaults.rope_local_base_freq, "", source, config));
  for (const RopeConfig* rope : {&std::as_const(config.rope), &local}) {
    if (rope->type == RopeType::kLongRope) {
      return unsupported(source.fields, "rope_parameters", "longrope for some layers only is not supported");
    }
    config.rope_tables.push_back(table_of(*rope, config, config.max_seq_len));
  }
  for (const std::int64_t window : config.windows) config.layer_ropes.push_back(window > 0 ? 1 : 0);
  return {};
}

/// Reads what is special about the rotation of latent attention (DeepSeek): pairs of either kind, and attention scores
/// that are also scaled by the square of YaRN's magnitude for mscale_all_dim.
Result<void> take_latent_rope(const ConfigSource& source, ModelConfig& config) {
  if (source.defaults.latent.reads_rope_interleave) {
    constexpr std::string_view kKey = "rope_interleave";
    SS_TRY(const bool are_neighbours, source.fields.boolean_or(kKey, true));
    if (!are_neighbours || source.is_null(kKey)) config.rotary_pairs = RotaryPairs::kHalves;
  }
  const RopeConfig& rope = config.rope;
  if (rope.type == RopeType::kDefault || rope.mscale_all_dim == 0.0 || rope.factor <= 1.0) return {};
  const double mscale = 0.1 * rope.mscale_all_dim * std::log(rope.factor) + 1.0;
  config.attention_scale *= mscale * mscale;
  return {};
}

}  // namespace

Result<std::vector<bool>> unrotated_layers(const ConfigSource& source, std::int64_t n_layers) {
  const JsonFields& fields = source.fields;
  std::vector<bool> unrotated(static_cast<std::size_t>(n_layers), false);
  if (!source.defaults.has_unrotated_layers) return unrotated;
  const nlohmann::json* list = fields.find("no_rope_layers");
  if (list == nullptr) {
    SS_TRY(const std::int64_t interval,
           fields.integer_or("no_rope_layer_interval", kNoRopeLayerInterval, {.min = 1, .max = kMaxLayers}));
    for (std::int64_t layer = interval - 1; layer < n_layers; layer += interval) {
      unrotated[static_cast<std::size_t>(layer)] = true;
    }
    return unrotated;
  }
  if (!list->is_array() || list->size() < unrotated.size()) {
    return fields.mismatch("no_rope_layers", fmt::format("a list of at least {}", n_layers));
  }
  for (std::size_t layer = 0; layer < unrotated.size(); ++layer) {
    const nlohmann::json& rotates = (*list)[layer];
    if (rotates != 0 && rotates != 1) return fields.mismatch("no_rope_layers", "a list of 0 and 1");
    unrotated[layer] = rotates == 0;
  }
  return unrotated;
}

Result<void> parse_rope(const ConfigSource& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  RopeConfig& rope = config.rope;
  config.rotary_pairs = source.defaults.rotary_pairs;
  SS_TRY(const double share, fields.number_or("partial_rotary_factor", 1.0));
  SS_TRY(config.rotary_dim, rotary_dim_of(source, fields, share, rotated_head_dim(config)));
  if (source.defaults.rope_local_base_freq > 0.0) return parse_two_ropes(source, config);
  SS_TRY(rope.theta, fields.number_or("rope_theta", source.defaults.rope_theta));
  const std::string_view of_class = source.defaults.rope_scaling;
  const nlohmann::json absent = of_class.empty() ? nlohmann::json() : nlohmann::json::parse(of_class);
  SS_TRY(const std::optional<JsonFields> scaling, find_rope_parameters(fields, absent));
  if (scaling) {
    SS_TRY_VOID(parse_rope_scaling(source, *scaling, config, rope));
  } else if (source.defaults.grows_queries) {
    return fields.mismatch("rope_parameters", "an object with llama_4_scaling_beta");
  }
  if (!is_theta(rope.theta)) return bad_theta(fields, "rope_theta");
  if (config.latent.is_present()) {
    SS_TRY_VOID(take_latent_rope(source, config));
  }
  const bool is_long = rope.type == RopeType::kLongRope && config.max_seq_len > rope.original_max_seq_len;
  config.rope_tables = {table_of(rope, config, is_long ? rope.original_max_seq_len : config.max_seq_len)};
  if (is_long) {
    config.long_rope_tables = {table_of(rope, config, config.max_seq_len)};
    config.long_rope_after = rope.original_max_seq_len;
  }
  SS_TRY(std::vector<bool> unrotated, unrotated_layers(source, config.n_layers));
  for (std::size_t layer = 0; source.defaults.rotates_windows_only && layer < unrotated.size(); ++layer) {
    unrotated[layer] = config.windows[layer] == 0;
  }
  for (const bool is_unrotated : unrotated) config.layer_ropes.push_back(is_unrotated ? 1 : 0);
  if (std::ranges::find(unrotated, true) == unrotated.end()) return {};
  const RopeTable still{.inv_freq = std::vector<float>(static_cast<std::size_t>(config.head_dim / 2), 0.0F)};
  config.rope_tables.push_back(still);
  if (is_long) config.long_rope_tables.push_back(still);
  return {};
}

}  // namespace secondsource::detail
