#include "bundle/checkpoint_scheme.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "backend/weights.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMaxBlock = std::int64_t{1} << 20;

Error unsupported_setting(const JsonFields& fields, std::string_view key, std::string_view what) {
  return Error{ErrorCode::kUnsupported, fmt::format("{}: {}: {}", fields.name(), key, what)};
}

/// Refuses a text under `key` that is not one of `known`. An absent text counts as the first of them.
Result<std::string> known_text(const JsonFields& fields, std::string_view key,
                               std::initializer_list<std::string_view> known) {
  SS_TRY(std::string text, fields.string_or(key, *known.begin()));
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (std::ranges::find(known, text) != known.end()) return text;
  std::string names;
  for (const std::string_view name : known) names.append(names.empty() ? "" : ", ").append(name);
  return unsupported_setting(fields, key, fmt::format("expected one of {}; found {}", names, printable(text)));
}

Result<int> bits_of_words(const JsonFields& fields, std::string_view key, std::initializer_list<int> known) {
  SS_TRY(const std::int64_t bits, fields.integer(key, {.min = 1, .max = 32}));
  if (std::ranges::find(known, bits) != known.end()) return static_cast<int>(bits);
  return unsupported_setting(fields, key, fmt::format("expected {}; found {}", fmt::join(known, ", "), bits));
}

/// Columns that share a scale: `group_size`, of which -1 means all.
Result<ScaleBlock> groups_of(const JsonFields& fields) {
  SS_TRY(const std::int64_t size, fields.integer("group_size", {.min = -1, .max = kMaxBlock}));
  if (size == 0) return fields.mismatch("group_size", "-1 or 1 and above");
  return ScaleBlock{.rows = 1, .cols = std::max<std::int64_t>(0, size)};
}

std::string text_of_groups(const ScaleBlock& block) {
  return block.cols == 0 ? std::string("a scale for each output") : fmt::format("groups of {}", block.cols);
}

/// A list of two extents, such as [128, 128].
Result<ScaleBlock> two_extents(const JsonFields& fields, std::string_view key) {
  const Json* list = fields.find(key);
  const auto is_extent = [](const Json& value) {
    return value.is_number_integer() && value.get<std::int64_t>() >= 1 && value.get<std::int64_t>() <= kMaxBlock;
  };
  if (list == nullptr || !list->is_array() || list->size() != 2 || !std::ranges::all_of(*list, is_extent)) {
    return fields.mismatch(key, "a list of two extents");
  }
  return ScaleBlock{.rows = (*list)[0].get<std::int64_t>(), .cols = (*list)[1].get<std::int64_t>()};
}

/// FP8 of DeepSeek (blocks), of fbgemm (a scale for each output) and of AutoFP8 (one for all).
Result<CheckpointScheme> fp8_scheme(const JsonFields& fields, std::string_view method) {
  CheckpointScheme scheme{.method = method,
                          .layout = CodeLayout::kFp8,
                          .description = "FP8 E4M3",
                          .activations = CheckpointActivations::kOther};
  SS_TRY_VOID(known_text(fields, "fmt", {"e4m3", "float8_e4m3fn"}));
  if (fields.has("weight_block_size")) {
    SS_TRY(scheme.block, two_extents(fields, "weight_block_size"));
    scheme.description += fmt::format(", blocks of {} x {}", scheme.block->rows, scheme.block->cols);
    // Runtimes quantize inputs in groups as wide as a block. scale_fmt says how they round the scales of inputs
    // (DeepSeek-V3.1).
    SS_TRY(const std::string activations, known_text(fields, "activation_scheme", {"dynamic", "static"}));
    const Json* const format = fields.find("scale_fmt");
    const bool has_plain_scales = format == nullptr || format->is_null();
    const bool has_e8m0_scales = !has_plain_scales && *format == "ue8m0";
    if (has_e8m0_scales) scheme.description += ", scales of inputs in E8M0";
    if (activations == "dynamic" && (has_plain_scales || has_e8m0_scales) && scheme.block->cols == kFp8GroupSize) {
      scheme.activations =
          has_e8m0_scales ? CheckpointActivations::kFp8PerTokenGroupE8m0 : CheckpointActivations::kFp8PerTokenGroup;
    }
  } else if (method == "fp8-") {
    SS_TRY(const std::string activations, known_text(fields, "activation_scheme", {"dynamic", "static"}));
    if (activations == "static") scheme.activations = CheckpointActivations::kFp8Static;
  }
  return scheme;
}

/// Refuses a `group_size` other than `expected`; it may be absent.
Result<void> expect_groups_of(const JsonFields& fields, std::int64_t expected) {
  SS_TRY(const std::int64_t size, fields.integer_or("group_size", expected, {.min = 1, .max = kMaxBlock}));
  if (size == expected) return {};
  return unsupported_setting(fields, "group_size", fmt::format("expected {}, found {}", expected, size));
}

Result<CheckpointScheme> modelopt_scheme(const JsonFields& fields) {
  SS_TRY(const std::string algorithm, known_text(fields, "quant_algo", {"fp8", "nvfp4"}));
  if (algorithm == "nvfp4") {
    SS_TRY_VOID(expect_groups_of(fields, kNvfp4GroupSize));
    return CheckpointScheme{.method = "modelopt-",
                            .layout = CodeLayout::kFp4Rows,
                            .bits = 4,
                            .block = ScaleBlock{.rows = 1, .cols = kNvfp4GroupSize},
                            .global_scale = GlobalScale::kMultiplies,
                            .description = "NVFP4 of ModelOpt",
                            .activations = CheckpointActivations::kNvfp4};
  }
  return CheckpointScheme{.method = "modelopt-",
                          .layout = CodeLayout::kFp8,
                          .description = "FP8 E4M3 of ModelOpt",
                          .activations = CheckpointActivations::kFp8Static};
}

Result<CheckpointScheme> gptq_scheme(const JsonFields& fields) {
  CheckpointScheme scheme{.method = "gptq-", .layout = CodeLayout::kGptqWords, .has_zero_points = true};
  SS_TRY(scheme.bits, bits_of_words(fields, "bits", {2, 4, 8}));
  SS_TRY(scheme.block, groups_of(fields));
  SS_TRY(scheme.has_input_groups, fields.boolean_or("desc_act", false));
  SS_TRY(scheme.is_symmetric, fields.boolean_or("sym", true));
  SS_TRY(const std::string format, known_text(fields, "checkpoint_format", {"gptq", "gptq_v2"}));
  scheme.stores_zero_points_less_one = format == "gptq";
  scheme.description = fmt::format("GPTQ, {} bits, {}{}", scheme.bits, text_of_groups(*scheme.block),
                                   scheme.has_input_groups ? ", act order" : "");
  return scheme;
}

Result<CheckpointScheme> awq_scheme(const JsonFields& fields) {
  CheckpointScheme scheme{.method = "awq-", .layout = CodeLayout::kAwqWords, .has_zero_points = true};
  SS_TRY(scheme.bits, bits_of_words(fields, fields.has("bits") ? "bits" : "w_bit", {4}));
  SS_TRY(scheme.block, groups_of(fields));
  SS_TRY_VOID(known_text(fields, "version", {"gemm"}));
  SS_TRY(const bool has_zero_points, fields.boolean_or("zero_point", true));
  if (!has_zero_points) return unsupported_setting(fields, "zero_point", "expected true; found false");
  scheme.description = fmt::format("AWQ, {} bits, {}", scheme.bits, text_of_groups(*scheme.block));
  return scheme;
}

/// Refuses a checkpoint in which some layers have codes of another width. Layers with 16 bits are not quantized and are
/// accepted.
Result<void> expect_one_width(const JsonFields& fields, int bits) {
  if (!fields.has("extra_config")) return {};
  SS_TRY_VOID(fields.object("extra_config"));
  for (const auto& [layer, own] : fields.find("extra_config")->items()) {
    SS_TRY(const JsonFields of_layer,
           JsonFields::of(own, fmt::format("{}: extra_config: {}", fields.name(), printable(layer))));
    SS_TRY(const std::int64_t found, of_layer.integer_or("bits", bits, {.min = 1, .max = 32}));
    if (found != bits && found != 16) {
      return unsupported_setting(of_layer, "bits", fmt::format("expected {} or 16, found {}", bits, found));
    }
  }
  return {};
}

/// Intel's AutoRound, which stores codes in the layouts of GPTQ or AWQ.
Result<CheckpointScheme> auto_round_scheme(const JsonFields& fields) {
  SS_TRY_VOID(known_text(fields, "data_type", {"int"}));
  SS_TRY(const std::string packing,
         known_text(fields, "packing_format",
                    {"auto_round:auto_gptq", "auto_round:gptqmodel", "auto_round", "auto_round:auto_awq"}));
  const bool is_awq = packing == "auto_round:auto_awq";
  CheckpointScheme scheme{.method = "auto-round-",
                          .layout = is_awq ? CodeLayout::kAwqWords : CodeLayout::kGptqWords,
                          .has_zero_points = true,
                          .stores_zero_points_less_one = packing == "auto_round:auto_gptq"};
  SS_TRY(scheme.bits, is_awq ? bits_of_words(fields, "bits", {4}) : bits_of_words(fields, "bits", {2, 4, 8}));
  SS_TRY(scheme.block, groups_of(fields));
  SS_TRY(scheme.is_symmetric, fields.boolean_or("sym", true));
  SS_TRY_VOID(expect_one_width(fields, scheme.bits));
  SS_TRY(const std::int64_t input_bits, fields.integer_or("act_bits", 16, {.min = 1, .max = 32}));
  if (input_bits < 16) scheme.activations = CheckpointActivations::kOther;
  scheme.description = fmt::format("AutoRound, {} bits, {}", scheme.bits, text_of_groups(*scheme.block));
  return scheme;
}

/// The description of weights, which must be the same for all groups of modules.
Result<Json> weights_of_groups(const JsonFields& fields) {
  SS_TRY_VOID(fields.object("config_groups"));
  Json weights;
  for (const auto& [name, group] : fields.find("config_groups")->items()) {
    const std::string at = fmt::format("{}: config_groups: {}", fields.name(), printable(name));
    SS_TRY(const JsonFields group_fields, JsonFields::of(group, at));
    SS_TRY_VOID(group_fields.object("weights"));
    const Json& own = *group_fields.find("weights");
    if (!weights.is_null() && weights != own) {
      return unsupported_setting(fields, "config_groups",
                                 "expected the same weights in all groups, found several kinds");
    }
    weights = own;
  }
  if (weights.is_null()) return fields.mismatch("config_groups", "at least one group");
  return weights;
}

/// How Quark's runtimes quantize inputs: not at all, or in one way for all modules.
Result<CheckpointActivations> quark_activations(const JsonFields& global) {
  using enum CheckpointActivations;
  if (!global.has("input_tensors")) return kAsTheyAre;
  if (!global.find("input_tensors")->is_object()) return kOther;  // a list: in two stages
  SS_TRY(const JsonFields inputs, global.object("input_tensors"));
  SS_TRY(const std::string type, inputs.string("dtype"));
  SS_TRY(const std::string scheme, inputs.string("qscheme"));
  SS_TRY(const bool is_dynamic, inputs.boolean_or("is_dynamic", false));
  SS_TRY(const bool is_symmetric, inputs.boolean_or("symmetric", true));
  if (!is_symmetric && type == "int8") return kInt8ZeroPoints;
  if (!is_dynamic && scheme == "per_tensor" && is_symmetric) {
    return type == "int8" ? kInt8Static : type == "fp8_e4m3" ? kFp8Static : kOther;
  }
  if (!is_dynamic || scheme != "per_channel" || !is_symmetric) return kOther;  // per_channel of inputs is by token
  return type == "int8" ? kInt8PerToken : type == "fp8_e4m3" ? kFp8PerToken : kOther;
}

/// Refuses a checkpoint with more than one kind of weights. Layers may have entries of their own because their outputs
/// are quantized (keys and values for a cache in FP8), which does not affect the weights.
Result<void> expect_one_kind_of_weights(const JsonFields& fields, const Json& weights) {
  for (const std::string_view key : {"layer_quant_config", "layer_type_quant_config"}) {
    if (!fields.has(key)) continue;
    SS_TRY_VOID(fields.object(key));
    for (const auto& [pattern, own] : fields.find(key)->items()) {
      if (own.is_object() && own.contains("weight") && own["weight"] == weights) continue;
      return unsupported_setting(
          fields, key,
          fmt::format("expected the weights of global_quant_config for {}, found others", in_quotes(pattern)));
    }
  }
  return {};
}

/// AMD's Quark, as its exporter writes it.
Result<CheckpointScheme> quark_scheme(const JsonFields& fields) {
  SS_TRY(const JsonFields global, fields.object("global_quant_config"));
  if (!global.has("weight")) return global.mismatch("weight", "an object");
  if (!global.find("weight")->is_object()) {
    return unsupported_setting(global, "weight", "expected weights in one stage, found several");
  }
  SS_TRY(const JsonFields weights, global.object("weight"));
  SS_TRY_VOID(expect_one_kind_of_weights(fields, *global.find("weight")));
  if (fields.has("export")) {
    SS_TRY(const JsonFields exported, fields.object("export"));
    SS_TRY_VOID(known_text(exported, "weight_format", {"real_quantized"}));
  }
  SS_TRY(const std::string type, known_text(weights, "dtype", {"fp8_e4m3", "int8", "fp4"}));
  CheckpointScheme scheme{.method = "quark-"};
  if (type == "fp4") {
    SS_TRY_VOID(known_text(weights, "qscheme", {"per_group"}));
    SS_TRY_VOID(known_text(weights, "scale_format", {"e8m0"}));
    if (!weights.has("group_size")) return weights.mismatch("group_size", "a whole number");
    SS_TRY_VOID(expect_groups_of(weights, kScaleGroupSize));
    scheme.layout = CodeLayout::kFp4Rows;
    scheme.bits = 4;
    scheme.block = ScaleBlock{.rows = 1, .cols = kScaleGroupSize};
    scheme.description = "MXFP4 of Quark";
  } else {
    SS_TRY(const std::string granularity, known_text(weights, "qscheme", {"per_tensor", "per_channel"}));
    SS_TRY(const bool is_symmetric, weights.boolean_or("symmetric", true));
    if (!is_symmetric) return unsupported_setting(weights, "symmetric", "expected true, found false");
    scheme.layout = type == "int8" ? CodeLayout::kInt8 : CodeLayout::kFp8;
    scheme.description = fmt::format("{} of Quark, {}", type == "int8" ? "INT8" : "FP8 E4M3",
                                     granularity == "per_tensor" ? "one scale" : "a scale for each output");
  }
  SS_TRY(scheme.activations, quark_activations(global));
  return scheme;
}

/// How the runtimes quantize inputs by the `input_activations` of a group of modules.
Result<CheckpointActivations> activations_of(const JsonFields& inputs) {
  using enum CheckpointActivations;
  SS_TRY(const std::string strategy, inputs.string_or("strategy", "tensor"));
  SS_TRY(const std::string type, inputs.string_or("type", "int"));
  SS_TRY(const bool is_symmetric, inputs.boolean_or("symmetric", true));
  SS_TRY(const std::int64_t bits, inputs.integer("num_bits", {.min = 1, .max = 32}));
  SS_TRY(const std::int64_t group_size, inputs.integer_or("group_size", 0, {.min = -1, .max = kMaxBlock}));
  const Json* dynamic = inputs.find("dynamic");
  const bool is_dynamic = dynamic != nullptr && dynamic->is_boolean() && dynamic->get<bool>();
  const bool is_static = dynamic == nullptr || *dynamic == false;
  const bool is_float = type == "float";
  const bool is_int = type == "int";

  if (dynamic != nullptr && *dynamic == "local") {
    const bool is_nvfp4 = strategy == "tensor_group" && group_size == kNvfp4GroupSize && bits == 4 && is_float;
    return is_nvfp4 && is_symmetric ? kNvfp4 : kOther;
  }
  if (bits != 8) return kOther;
  if (!is_symmetric) return is_int ? kInt8ZeroPoints : kOther;
  if (is_dynamic && strategy == "group" && group_size == kFp8GroupSize && is_float) return kFp8PerTokenGroup;
  if (is_static && strategy == "tensor") return is_float ? kFp8Static : is_int ? kInt8Static : kOther;
  if (is_dynamic && strategy == "token") return is_float ? kFp8PerToken : is_int ? kInt8PerToken : kOther;
  return kOther;
}

/// How the runtimes quantize inputs, which must be the same for all groups of modules; kOther where the groups differ.
Result<CheckpointActivations> activations_of_groups(const JsonFields& fields) {
  using enum CheckpointActivations;
  std::optional<CheckpointActivations> all;
  for (const auto& [name, group] : fields.find("config_groups")->items()) {
    CheckpointActivations own = kAsTheyAre;
    if (group.contains("input_activations") && !group["input_activations"].is_null()) {
      const std::string at = fmt::format("{}: config_groups: {}", fields.name(), printable(name));
      SS_TRY(const JsonFields group_fields, JsonFields::of(group, at));
      SS_TRY(const JsonFields inputs, group_fields.object("input_activations"));
      SS_TRY(own, activations_of(inputs));
    }
    all = !all || *all == own ? own : kOther;
  }
  return all.value_or(kAsTheyAre);
}

/// Which weights share a scale, by the name of the strategy.
Result<void> take_strategy(const JsonFields& weights, CheckpointScheme& scheme) {
  SS_TRY(const std::string strategy, known_text(weights, "strategy", {"tensor", "channel", "group", "block"}));
  if (strategy == "group") {
    SS_TRY(scheme.block, groups_of(weights));
    scheme.description += ", " + text_of_groups(*scheme.block);
  } else if (strategy == "block") {
    SS_TRY(scheme.block, two_extents(weights, "block_structure"));
    scheme.description += fmt::format(", blocks of {} x {}", scheme.block->rows, scheme.block->cols);
  } else {
    scheme.description += strategy == "tensor" ? ", one scale" : ", a scale for each output";
  }
  return {};
}

/// The two formats of compressed-tensors with codes in E2M1.
Result<void> take_fp4(const JsonFields& weights, bool is_nvfp4, CheckpointScheme& scheme) {
  SS_TRY_VOID(known_text(weights, "type", {"float"}));
  SS_TRY_VOID(bits_of_words(weights, "num_bits", {4}));
  SS_TRY_VOID(known_text(weights, "strategy", {is_nvfp4 ? "tensor_group" : "group"}));
  const std::int64_t expected = is_nvfp4 ? kNvfp4GroupSize : kScaleGroupSize;
  SS_TRY_VOID(expect_groups_of(weights, expected));
  SS_TRY(const bool is_symmetric, weights.boolean_or("symmetric", true));
  if (!is_symmetric) return unsupported_setting(weights, "symmetric", "expected true, found false");
  scheme.layout = CodeLayout::kFp4Rows;
  scheme.bits = 4;
  scheme.block = ScaleBlock{.rows = 1, .cols = expected};
  if (is_nvfp4) scheme.global_scale = GlobalScale::kDivides;
  scheme.description = fmt::format("compressed-tensors, {}", is_nvfp4 ? "NVFP4" : "MXFP4");
  return {};
}

Result<CheckpointScheme> compressed_scheme(const JsonFields& fields) {
  SS_TRY(const std::string format, known_text(fields, "format",
                                              {"pack-quantized", "int-quantized", "float-quantized", "naive-quantized",
                                               "mxfp4-pack-quantized", "nvfp4-pack-quantized"}));
  // "frozen" says that the scales are fixed, not how the weights are stored. Files with codes also have it, such as
  // those in transformers' documentation; CheckpointWeight refuses files with values that are still to be quantized.
  SS_TRY_VOID(known_text(fields, "quantization_status", {"compressed", "frozen"}));
  if (fields.has("sparsity_config") && !fields.find("sparsity_config")->empty()) {
    SS_TRY(const JsonFields sparsity, fields.object("sparsity_config"));
    SS_TRY_VOID(known_text(sparsity, "format", {"dense"}));
  }
  if (fields.has("transform_config") && !fields.find("transform_config")->empty()) {
    return unsupported_setting(fields, "transform_config", "rotations of weights and activations are not computed");
  }
  SS_TRY(const Json description, weights_of_groups(fields));
  SS_TRY(const JsonFields weights, JsonFields::of(description, fmt::format("{}: weights", fields.name())));
  SS_TRY(const std::string type, known_text(weights, "type", {"int", "float"}));
  CheckpointScheme scheme{.method = "compressed-tensors-"};
  if (format == "mxfp4-pack-quantized" || format == "nvfp4-pack-quantized") {
    SS_TRY_VOID(take_fp4(weights, format == "nvfp4-pack-quantized", scheme));
    SS_TRY(scheme.activations, activations_of_groups(fields));
    return scheme;
  }
  if (format == "pack-quantized") {
    scheme.layout = CodeLayout::kInputWords;
    SS_TRY(scheme.bits, bits_of_words(weights, "num_bits", {2, 4, 8}));
  } else {
    scheme.layout = type == "float" ? CodeLayout::kFp8 : CodeLayout::kInt8;
    // llm-compressor stores four-bit codes as bytes if inputs are quantized as well (W4A8).
    SS_TRY(scheme.bits, scheme.layout == CodeLayout::kInt8 ? bits_of_words(weights, "num_bits", {4, 8})
                                                           : bits_of_words(weights, "num_bits", {8}));
  }
  if ((type == "float") != (scheme.layout == CodeLayout::kFp8)) {
    return unsupported_setting(weights, "type", fmt::format("expected int with {}; found {}", format, type));
  }
  SS_TRY(const bool symmetric, weights.boolean_or("symmetric", true));
  scheme.has_zero_points = !symmetric;
  scheme.description = fmt::format("compressed-tensors, {} {}{}", type == "float" ? "FP" : "INT", scheme.bits,
                                   symmetric ? "" : " with zero points");
  SS_TRY_VOID(take_strategy(weights, scheme));
  SS_TRY(scheme.activations, activations_of_groups(fields));
  return scheme;
}

}  // namespace

Result<CheckpointScheme> parse_checkpoint_scheme(const Json& quantization, std::string_view name) {
  SS_TRY(const JsonFields fields, JsonFields::of(quantization, std::string(name)));
  SS_TRY(const std::string method, fields.string("quant_method"));
  if (method == "fp8") return fp8_scheme(fields, "fp8-");
  if (method == "fbgemm_fp8") return fp8_scheme(fields, "fbgemm-");
  if (method == "modelopt") return modelopt_scheme(fields);
  if (method == "gptq") return gptq_scheme(fields);
  if (method == "awq") return awq_scheme(fields);
  if (method == "compressed-tensors") return compressed_scheme(fields);
  if (method == "quark") return quark_scheme(fields);
  if (method == "auto-round") return auto_round_scheme(fields);
  if (method == "mxfp4")
    return CheckpointScheme{.method = "mxfp4", .layout = CodeLayout::kMxfp4, .bits = 4, .description = "MXFP4"};
  return unsupported_setting(
      fields, "quant_method",
      fmt::format("expected one of fp8, fbgemm_fp8, modelopt, gptq, awq, compressed-tensors, auto-round, quark, mxfp4; "
                  "found {}; bring the unquantized model",
                  printable(method)));
}

}  // namespace secondsource
