#include "bundle/quantized_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "bundle/checkpoint_form.h"
#include "bundle/checkpoint_scheme.h"
#include "bundle/checkpoint_weight.h"
#include "bundle/model_config.h"
#include "bundle/model_names.h"
#include "bundle/published_weights.h"
#include "bundle/tensor_store.h"
#include "bundle/variant.h"
#include "bundle/weight_conversion.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kQuantization = "quantization_config";
constexpr std::string_view kTextPart = "text_config";

/// A config.json, split into its description of quantized weights and the rest.
struct QuantizedConfig {
  nlohmann::json quantization = {};   ///< null if there is none
  std::string source = {};            ///< what says so, as messages name it
  std::string cache = {};             ///< the type of the cache of its runtimes, where one is named: "FP8"
  nlohmann::ordered_json plain = {};  ///< in the order of the file
};

/// The value of a key; null if `object` is not an object or does not have it.
nlohmann::json value_of(const nlohmann::json& object, const char* key) {
  return object.is_object() ? object.value(key, nlohmann::json()) : nlohmann::json();
}

/// Whether ModelOpt's description names no quantization of weights, as for a checkpoint of which only the KV cache is
/// quantized.
bool is_of_cache_alone(const nlohmann::json& quantization) {
  return value_of(quantization, "quant_method") == "modelopt" && value_of(quantization, "quant_algo").is_null();
}

/// The type of the KV cache that ModelOpt or compressed-tensors specifies for runtimes, such as FP8; empty if none is
/// named.
std::string type_of_cache(const nlohmann::json& quantization) {
  for (const char* const key : {"kv_cache_quant_algo", "kv_cache_scheme"}) {
    const nlohmann::json found = value_of(quantization, key);
    if (found.is_string()) return printable(found.get<std::string>());
    if (!found.is_object()) continue;
    const nlohmann::json bits = value_of(found, "num_bits");
    return fmt::format("{}{}", value_of(found, "type") == "float" ? "FP" : "INT",
                       bits.is_number_integer() ? bits.get<int>() : 8);
  }
  return "";
}

/// Stores what a file says about quantization, which may concern only the KV cache.
void take_quantization(const nlohmann::json& quantization, QuantizedConfig& config) {
  if (std::string cache = type_of_cache(quantization); !cache.empty()) config.cache = std::move(cache);
  config.quantization = is_of_cache_alone(quantization) ? nlohmann::json() : quantization;
}

Result<QuantizedConfig> parse_config(std::string_view text, std::string_view name) {
  SS_TRY(const nlohmann::json checked, parse_json(text, name, {.max_bytes = kMaxConfigBytes, .max_depth = 16}));
  QuantizedConfig config{.source = fmt::format("{}: {}", name, kQuantization)};
  if (!checked.is_object()) return config;
  config.plain = nlohmann::ordered_json::parse(text);
  for (nlohmann::ordered_json* part : {&config.plain, &config.plain[std::string(kTextPart)]}) {
    if (!part->is_object() || !part->contains(kQuantization)) continue;
    if (config.quantization.is_null()) take_quantization((*part)[std::string(kQuantization)], config);
    part->erase(std::string(kQuantization));
  }
  if (config.plain[std::string(kTextPart)].is_null()) config.plain.erase(std::string(kTextPart));
  return config;
}

/// Converts ModelOpt's own file to the form of a quantization_config. Its checkpoints have either or both of them.
Result<nlohmann::json> parse_modelopt_config(std::string_view text, std::string_view name) {
  SS_TRY(const nlohmann::json file, parse_json(text, name, {.max_bytes = kMaxConfigBytes, .max_depth = 16}));
  SS_TRY(const JsonFields fields, JsonFields::of(file, std::string(name)));
  SS_TRY(const JsonFields quantization, fields.object("quantization"));
  nlohmann::json config = {{"quant_method", "modelopt"}};
  for (const char* const key : {"quant_algo", "group_size", "exclude_modules", "kv_cache_quant_algo"}) {
    if (quantization.has(key)) config[key] = *quantization.find(key);
  }
  return config;
}

Result<QuantizedConfig> read_config(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  SS_TRY(const std::string text, read_file(path, kMaxConfigBytes));
  SS_TRY(QuantizedConfig config, parse_config(text, path.string()));
  const fs::path modelopt = folder / kModeloptConfigFile;
  if (config.quantization.is_null() && path_exists(modelopt)) {
    SS_TRY(const std::string separate, read_file(modelopt, kMaxConfigBytes));
    SS_TRY(const nlohmann::json quantization, parse_modelopt_config(separate, modelopt.string()));
    take_quantization(quantization, config);
    config.source = modelopt.string();
  }
  return config;
}

/// Endings of tensors in a quantized module that do not affect the values of its weights: scales of activations and of
/// the KV cache, and the weight's shape.
constexpr std::array<std::string_view, 9> kNotOfWeights = {"input_scale",  "input_zero_point", "input_scale_ub",
                                                           "output_scale", "q_scale",          "k_scale",
                                                           "v_scale",      "weight_shape",     "input_global_scale"};
/// Endings of the tensors that CheckpointWeight reads; for MXFP4 the ending follows the tensor's full name
/// (is_of_blocks()).
constexpr std::array<std::string_view, 9> kOfWeights = {"weight",        "weight_scale", "weight_scale_inv",
                                                        "weight_packed", "weight_g_idx", "qweight",
                                                        "qzeros",        "scales",       "g_idx"};

/// Whether a stored tensor has the MXFP4 codes or scales of one of the model's tensors.
bool is_of_blocks(std::string_view stored, const std::set<std::string_view>& of_model) {
  return std::ranges::any_of(std::array<std::string_view, 2>{"_blocks", "_scales"}, [&](std::string_view ending) {
    return stored.ends_with(ending) && of_model.contains(stored.substr(0, stored.size() - ending.size()));
  });
}

/// The same form with zero points, if its codes are INT4.
PublishedForm with_zero_points(PublishedForm form) {
  if (form.encoding == WeightEncoding::kInt4Group32) form.encoding = WeightEncoding::kInt4Group32Zero;
  return form;
}

bool is_all_zero(const StoredTensor& tensor) {
  return std::ranges::all_of(tensor.bytes(), [](std::byte byte) { return byte == std::byte{0}; });
}

/// The note for a checkpoint whose runtimes quantize the KV cache.
std::string text_of_cache(const QuantizedConfig& config) {
  return fmt::format("its publisher's runtimes keep the cache in {}; here it is in bf16 unless another type is chosen",
                     config.cache);
}

/// The note for a checkpoint whose codes no variant keeps.
std::string text_without_variant(const CheckpointScheme& scheme, std::string_view reason) {
  return fmt::format("{}: no variant keeps these weights as they are stored, because {}", scheme.description, reason);
}

/// Whether the checkpoint's runtimes quantize activations but this variant does not. An empty name means no variant.
bool is_without_its_activations(const CheckpointScheme& scheme, const std::string& variant) {
  if (scheme.activations == CheckpointActivations::kAsTheyAre) return false;
  const Result<Variant> kept = variant_from_name(variant);
  return !kept || kept->activations == ActQuant::kNone;
}

/// `why`: a phrase, or empty if the scheme alone explains it.
std::string text_without_activations(const CheckpointScheme& scheme, std::string_view why) {
  if (scheme.activations == CheckpointActivations::kInt8ZeroPoints)
    why = "activations with zero points are not computed";
  return fmt::format("{}: runtimes of this checkpoint quantize activations, too; here its weights alone are taken{}{}",
                     scheme.description, why.empty() ? "" : ", because ", why);
}

/// The same scheme, but with inputs marked as quantized in a way that is not implemented.
CheckpointScheme with_other_inputs(CheckpointScheme scheme) {
  scheme.activations = CheckpointActivations::kOther;
  return scheme;
}

/// The encoding of a variant's matrices; nullopt for an empty name, which means no variant.
std::optional<WeightEncoding> encoding_of_variant(const std::string& name) {
  const Result<Variant> variant = variant_from_name(name);
  return variant ? std::optional(variant->matmul) : std::nullopt;
}

/// The tensors of a model and how the checkpoint stores them.
class QuantizedModel {
 public:
  static Result<QuantizedModel> open(const fs::path& folder, const CheckpointScheme& scheme, ModelConfig config) {
    QuantizedModel model;
    SS_TRY(model.store_, TensorStore::open(folder));
    if (const std::string& kept = model.store_.published_variant(); !kept.empty()) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format(
              "{}: expected weights as {} stores them, which its quantization_config says, found a bundle's codes of {}",
              folder.string(), scheme.description, printable(kept))};
    }
    SS_TRY_VOID(name_tensors_as_the_model(folder.string(), config, model.store_));
    model.specs_ = model_tensors(config);
    model.config_ = std::move(config);
    for (const TensorSpec& spec : model.specs_) {
      SS_TRY(CheckpointWeight weight, CheckpointWeight::find(model.store_, scheme, spec, folder.string()));
      model.weights_.push_back(std::move(weight));
    }
    SS_TRY_VOID(model.refuse_what_is_not_read(scheme, folder.string()));
    return model;
  }

  [[nodiscard]] const std::vector<TensorSpec>& specs() const { return specs_; }

  Result<void> read_rows(std::size_t tensor, const RowUser& use) const {
    const Shape& shape = specs_[tensor].shape;
    std::vector<float> values(static_cast<std::size_t>(shape.extent(shape.rank() - 1)));
    for (std::int64_t row = 0; row < n_rows_of(shape); ++row) {
      weights_[tensor].read_row(row, values);
      SS_TRY_VOID(use(values));
    }
    return {};
  }

  /// The codes to keep: those of every quantized matrix. If one of them cannot be kept, none is, and the note says why.
  PublishedSource published(const CheckpointScheme& scheme) const {
    PublishedSource source;
    source.forms.resize(weights_.size());
    std::optional<PublishedForm> common;
    const auto keep_nothing = [&](const TensorSpec& spec, std::string_view why) {
      return PublishedSource{.note = text_without_variant(scheme, fmt::format("{} has {}", spec.name, why))};
    };
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      if (!weights_[i].is_quantized() || specs_[i].role != TensorRole::kMatmul) continue;
      Result<PublishedForm> form = weights_[i].published_form();
      if (!form) return keep_nothing(specs_[i], form.error().message);
      // A matrix without zero points can be stored with zero points that are all 0.
      if (common && common->has_zero_points()) *form = with_zero_points(*form);
      if (common && form->has_zero_points()) *common = with_zero_points(*common);
      if (common && *common != *form) return keep_nothing(specs_[i], "another form than the weights before it");
      common = *form;
      source.forms[i] = *form;
      if (weights_[i].column_order().empty()) continue;
      source.columns.resize(weights_.size());
      source.columns[i] = weights_[i].column_order();
    }
    if (!common) return PublishedSource();
    for (std::optional<PublishedForm>& form : source.forms) {
      if (form) form = *common;
    }
    const bool quantizes_inputs = why_inputs_are_plain(scheme, common->encoding).empty();
    source.variant = variant_of_form(quantizes_inputs ? scheme : with_other_inputs(scheme), *common);
    if (quantizes_inputs && has_stored_scale(act_of_form(scheme, *common))) {
      for (const CheckpointWeight& weight : weights_) source.input_scales.push_back(weight.input_scale().value_or(0));
    }
    if (common->encoding == WeightEncoding::kNvfp4Group16) {
      for (const CheckpointWeight& weight : weights_) source.global_scales.push_back(weight.global_scale());
    }
    source.read_rows = [this, form = *common](std::size_t tensor, const CodedRowUser& use) -> Result<void> {
      const Shape shape = shape_of_rows(form, specs_[tensor].shape);
      const std::int64_t n_cols = shape.extent(shape.rank() - 1);
      std::vector<std::int8_t> codes(static_cast<std::size_t>(n_cols));
      std::vector<float> scales(static_cast<std::size_t>(stored_scales_per_row(form, n_cols)));
      std::vector<std::int8_t> zeros(form.has_zero_points() ? scales.size() : 0);
      for (std::int64_t row = 0; row < n_rows_of(shape); ++row) {
        SS_TRY_VOID(weights_[tensor].read_coded_row(row, form, {codes, scales, zeros}));
        SS_TRY_VOID(use({codes, scales, zeros}));
      }
      return {};
    };
    return source;
  }

  using InputScales =
      std::map<std::string_view, std::optional<float>>;  ///< by the names of tensors; nullopt if not quantized

  /// The reason why one product has no scale of inputs: only one of two of its parts is quantized.
  static std::string why_one_is_plain(const std::string& one, const std::string& other, const InputScales& scales) {
    const bool one_has_codes = scales.at(one).has_value();
    return fmt::format("{} is quantized, and {} in the same product is not", one_has_codes ? one : other,
                       one_has_codes ? other : one);
  }

  /// The reason why a layer's experts have no scale of inputs: some are quantized and others are not. The gate and up
  /// projections of all experts form one product, and their down projections another; empty if neither is mixed.
  [[nodiscard]] std::string why_no_scale_of_experts(std::int64_t layer, const InputScales& scales) const {
    const FfnTensors first = expert_tensors(config_, layer, 0);
    for (std::int64_t expert = 0; expert < config_.n_experts; ++expert) {
      const FfnTensors own = expert_tensors(config_, layer, expert);
      for (const auto& [one, other] :
           {std::pair(&first.gate, &own.gate), std::pair(&first.gate, &own.up), std::pair(&first.down, &own.down)}) {
        if (scales.at(one->tensor).has_value() == scales.at(other->tensor).has_value()) continue;
        return why_one_is_plain(one->tensor, other->tensor, scales);
      }
    }
    return "";
  }

  /// The reason why some gate and up projections are multiplied by their values and not by their codes: their inputs
  /// have different orders. Empty if no layer has such a pair.
  [[nodiscard]] std::string why_by_values() const {
    std::map<std::string_view, const std::vector<std::int32_t>*> orders;
    for (std::size_t i = 0; i < weights_.size(); ++i) orders.emplace(specs_[i].name, &weights_[i].column_order());
    for (std::int64_t layer = 0; config_.gated_ffn && layer < config_.n_layers; ++layer) {
      const bool has_experts = config_.is_mixture_layer(layer);
      std::vector<FfnTensors> networks;
      for (std::int64_t expert = 0; has_experts && expert < config_.n_experts; ++expert) {
        networks.push_back(expert_tensors(config_, layer, expert));
      }
      if (!has_experts) networks.push_back(ffn_tensors(config_, layer));
      if (has_experts && config_.shared_ffn_dim > 0) networks.push_back(shared_expert_tensors(config_, layer));
      for (const FfnTensors& network : networks) {
        if (*orders.at(network.gate.tensor) == *orders.at(network.up.tensor)) continue;
        return fmt::format("{} and {} have different orders of inputs", network.gate.tensor, network.up.tensor);
      }
    }
    return "";
  }

  /// The reason, as a phrase, why products with weights in this encoding do not quantize their inputs as the scheme
  /// says. Empty if they do, if the scheme specifies no such quantization, or if no variant implements it. Gate and up
  /// form one product, whose inputs are quantized once; experts use the largest of their scales.
  [[nodiscard]] std::string why_inputs_are_plain(const CheckpointScheme& scheme, WeightEncoding encoding) const {
    const ActQuant act = act_of_form(scheme, {.encoding = encoding});
    if (encoding == WeightEncoding::kInt4Group32Zero && scheme.activations == CheckpointActivations::kInt8PerToken) {
      return "products of activations in INT8 with zero points of weights are not computed";
    }
    if (act == ActQuant::kInt8PerRow) return why_by_values();
    if (!has_stored_scale(act)) return "";
    InputScales scales;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      const std::optional<float> scale = weights_[i].input_scale();
      if (weights_[i].is_quantized() && !scale) {
        return fmt::format("{} has no scale of inputs that is one positive number", specs_[i].name);
      }
      scales.emplace(specs_[i].name, scale);
    }
    for (std::int64_t layer = 0; config_.gated_ffn && layer < config_.n_layers; ++layer) {
      const bool has_experts = config_.is_mixture_layer(layer);
      if (has_experts) {
        if (std::string why = why_no_scale_of_experts(layer, scales); !why.empty()) return why;
      }
      if (has_experts && config_.shared_ffn_dim == 0) continue;
      const FfnTensors network = has_experts ? shared_expert_tensors(config_, layer) : ffn_tensors(config_, layer);
      const std::string& gate = network.gate.tensor;
      const std::string& up = network.up.tensor;
      if (scales.at(gate).has_value() != scales.at(up).has_value()) return why_one_is_plain(gate, up, scales);
      if (scales.at(gate) != scales.at(up)) return fmt::format("{} and {} have different scales of inputs", gate, up);
    }
    return "";
  }

  /// The note if the variant (possibly none) differs from what the configuration announces; otherwise empty.
  [[nodiscard]] std::string note_of_kept(const CheckpointScheme& scheme, const std::string& variant) const {
    if (!has_codes()) return fmt::format("{}: no tensor is stored like this, and all are plain", scheme.description);
    if (!is_without_its_activations(scheme, variant)) return "";
    const std::optional<WeightEncoding> encoding = encoding_of_variant(variant);
    return text_without_activations(scheme, encoding ? why_inputs_are_plain(scheme, *encoding) : "");
  }

  /// Whether the checkpoint stores any tensor as its configuration says.
  [[nodiscard]] bool has_codes() const { return std::ranges::any_of(weights_, &CheckpointWeight::is_quantized); }

  /// The types of all tensors, where `source` is what published() gave.
  [[nodiscard]] PublishedTypes types(const PublishedSource& source) const {
    PublishedTypes types = types_of(source, specs_);
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      // Without a published variant, a quantized tensor counts in the type that config.json names; it is therefore left
      // out of `values`.
      const bool is_by_values = !weights_[i].is_quantized() || (!source.variant.empty() && !source.form_of(i));
      if (is_by_values) types.values.emplace(specs_[i].name, weights_[i].type_of_values());
    }
    return types;
  }

  /// "GPTQ, 4 bits, groups of 128 (224 tensors), F16 (67)"
  [[nodiscard]] std::string description(const CheckpointScheme& scheme) const {
    std::int64_t n_quantized = 0;
    std::map<std::string_view, std::int64_t> others;
    for (const CheckpointWeight& weight : weights_) {
      if (weight.is_quantized()) {
        ++n_quantized;
      } else {
        ++others[weight.stored_type()];
      }
    }
    // GPTQ's configuration announces act order; that of compressed-tensors may not.
    const bool has_order =
        std::ranges::any_of(weights_, [](const CheckpointWeight& weight) { return !weight.column_order().empty(); });
    std::string text =
        fmt::format("{}{} ({})", scheme.description, has_order && !scheme.has_input_groups ? ", act order" : "",
                    counted(n_quantized, "tensor"));
    for (const auto& [type, count] : others) text += fmt::format(", {} ({})", type, count);
    return text;
  }

 private:
  /// Refuses a tensor of a quantized module that would change the module's output but is not read: another kind of
  /// scale, zero points in a scheme without them, or a bias that the class does not have. Tensors of zeros are
  /// accepted, since they change nothing and early GPTQ files have them.
  [[nodiscard]] Result<void> refuse_what_is_not_read(const CheckpointScheme& scheme, const std::string& folder) const {
    std::set<std::string_view> of_model;
    for (const TensorSpec& spec : specs_) of_model.insert(spec.name);
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      if (!weights_[i].is_quantized()) continue;
      const std::string module = specs_[i].name.substr(0, specs_[i].name.rfind('.') + 1);
      for (auto at = store_.tensors().lower_bound(module);
           at != store_.tensors().end() && at->first.starts_with(module); ++at) {
        const std::string_view ending = std::string_view(at->first).substr(module.size());
        const bool is_read = std::ranges::find(kOfWeights, ending) != kOfWeights.end() ||
                             (ending == "weight_zero_point" && scheme.has_zero_points) ||
                             ending == name_of(scheme.global_scale) || of_model.contains(at->first) ||
                             (scheme.layout == CodeLayout::kMxfp4 && is_of_blocks(at->first, of_model));
        const bool is_harmless = std::ranges::find(kNotOfWeights, ending) != kNotOfWeights.end();
        if (is_read || is_harmless || is_all_zero(at->second)) continue;
        return Error{ErrorCode::kUnsupported,
                     fmt::format("{}: tensor {}: expected none of this name beside {}, found {}", folder,
                                 printable(at->first), scheme.description, at->second.info.shape.to_string())};
      }
    }
    return {};
  }

  TensorStore store_;
  ModelConfig config_;
  std::vector<TensorSpec> specs_;
  std::vector<CheckpointWeight> weights_;
};

/// Whether the configuration excludes modules from quantization whose matrices description_of() counts as quantized.
/// The head, norms, embeddings, routers and parts for other modalities are not counted as quantized anyway.
bool leaves_modules_out(const nlohmann::json& quantization) {
  constexpr std::array kKeys = {"ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules", "exclude"};
  constexpr std::array<std::string_view, 7> kOthers = {"lm_head", "norm",   "embed", "router",
                                                       "visual",  "vision", "audio"};
  const auto is_counted = [&](const nlohmann::json& module) {
    if (!module.is_string()) return false;
    std::string_view name = module.get_ref<const std::string&>();
    while (name.ends_with('$') || name.ends_with('*')) name.remove_suffix(1);
    const auto is_in_name = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
    return std::ranges::none_of(kOthers, is_in_name) && !name.ends_with("gate");
  };
  return std::ranges::any_of(kKeys, [&](const char* key) {
    const nlohmann::json modules = value_of(quantization, key);
    return modules.is_array() && std::ranges::any_of(modules, is_counted);
  });
}

/// The description that follows from the configuration alone, without the weights.
Result<ModelDescription> description_of(const QuantizedConfig& config, std::string_view name) {
  ModelDescription model;
  std::optional<CheckpointScheme> scheme;
  if (!config.quantization.is_null()) {
    SS_TRY(scheme, parse_checkpoint_scheme(config.quantization, config.source));
  }
  SS_TRY(model.config, parse_model_config(config.plain.dump(), name));
  if (!config.cache.empty()) model.notes.push_back(text_of_cache(config));
  if (!scheme) return model;
  if (leaves_modules_out(config.quantization)) {
    model.notes.emplace_back(
        "its configuration leaves some modules unquantized, which are counted as quantized; the folder with its weights "
        "has the types of all tensors");
  }
  const bool has_zero_points = always_has_zero_points(*scheme) || (scheme->has_zero_points && !scheme->is_symmetric);
  const Result<PublishedForm> form = form_of_scheme(*scheme, has_zero_points);
  if (form) {
    model.published.variant = variant_of_form(*scheme, *form);
  } else {
    model.notes.push_back(text_without_variant(*scheme, fmt::format("it has {}", form.error().message)));
  }
  if (is_without_its_activations(*scheme, model.published.variant)) {
    model.notes.push_back(text_without_activations(*scheme, ""));
  }
  return model;
}

/// Whether the folder has weights, or an index that names them.
bool has_weights(const fs::path& folder) {
  return path_exists(folder / kWeightIndexFile) || path_exists(folder / kSingleWeightFile);
}

/// Refuses weights that are codes if no configuration says of which kind. Weights that cannot be opened are accepted
/// here; the code that needs them refuses them.
Result<void> expect_no_codes(const fs::path& folder) {
  const Result<TensorStore> store = TensorStore::open(folder);
  if (!store) return {};
  constexpr std::array<std::string_view, 5> kEndingsOfCodes = {".weight_scale", ".weight_scale_inv", ".weight_scale_2",
                                                               ".weight_packed", ".qweight"};
  const auto is_of_codes = [&](const auto& tensor) {
    return std::ranges::any_of(kEndingsOfCodes,
                               [&](std::string_view ending) { return tensor.first.ends_with(ending); });
  };
  const auto found = std::ranges::find_if(store->tensors(), is_of_codes);
  if (found == store->tensors().end()) return {};
  std::string advice = "bring the file that does";
  for (const auto& [file, method] :
       {std::pair("quantize_config.json", "gptq"), std::pair("quant_config.json", "awq")}) {
    if (!path_exists(folder / file)) continue;
    advice =
        fmt::format("put what {} says into config.json, as its {} with quant_method {}", file, kQuantization, method);
  }
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("{}: {} belongs to a quantized weight, and neither config.json nor {} says how it is quantized; {}",
                  folder.string(), printable(found->first), kModeloptConfigFile, advice)};
}

/// The configuration for the written folder, with the type that most of the weights have now.
std::string config_text(nlohmann::ordered_json config, const std::string& type) {
  for (nlohmann::ordered_json* part :
       {&config, config.contains(kTextPart) ? &config[std::string(kTextPart)] : &config}) {
    const char* const key = part->contains("dtype") ? "dtype" : "torch_dtype";
    if (part->contains(key) || part == &config) (*part)[key] = type;
  }
  return config.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

Result<bool> has_quantized_weights(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_regular_file(folder / "config.json", ignored)) return false;
  SS_TRY(const QuantizedConfig config, read_config(folder));
  if (!config.quantization.is_null()) return true;
  SS_TRY_VOID(expect_no_codes(folder));
  return false;
}

Result<ModelDescription> describe_checkpoint(std::string_view text, std::string_view name) {
  SS_TRY(const QuantizedConfig config, parse_config(text, name));
  return description_of(config, name);
}

Result<ModelDescription> describe_checkpoint_files(const fs::path& folder) {
  SS_TRY(const QuantizedConfig config, read_config(folder));
  return description_of(config, (folder / "config.json").string());
}

Result<ModelDescription> describe_checkpoint_folder(const fs::path& folder, const InterruptFlag& interrupt) {
  SS_TRY(const QuantizedConfig config, read_config(folder));
  SS_TRY(ModelDescription description, description_of(config, (folder / "config.json").string()));
  if (config.quantization.is_null()) {
    SS_TRY_VOID(expect_no_codes(folder));
    return description;
  }
  if (!has_weights(folder)) return description;
  SS_TRY(const CheckpointScheme scheme, parse_checkpoint_scheme(config.quantization, config.source));
  const Result<QuantizedModel> model = QuantizedModel::open(folder, scheme, description.config);
  if (!model) {
    description.notes.push_back(fmt::format("{}; so the types are those of its configuration", model.error().message));
    return description;
  }
  SS_TRY_VOID(interrupt.check());
  const PublishedSource source = model->published(scheme);
  description.published = model->types(source);
  description.notes.clear();
  if (!config.cache.empty()) description.notes.push_back(text_of_cache(config));
  if (!source.note.empty()) description.notes.push_back(source.note);
  if (std::string note = model->note_of_kept(scheme, source.variant); !note.empty()) {
    description.notes.push_back(std::move(note));
  }
  return description;
}

Result<std::string> write_quantized_model(const fs::path& folder, QuantizedWeights form, BundleWriter& writer,
                                          Progress& progress, const InterruptFlag& interrupt) {
  const std::string name = (folder / "config.json").string();
  SS_TRY(const QuantizedConfig quantized, read_config(folder));
  SS_TRY(const CheckpointScheme scheme, parse_checkpoint_scheme(quantized.quantization, quantized.source));
  SS_TRY(const ModelConfig config, parse_model_config(quantized.plain.dump(), name));
  SS_TRY(const QuantizedModel model, QuantizedModel::open(folder, scheme, config));
  const RowReader read_rows = [&](std::size_t tensor, const RowUser& use) { return model.read_rows(tensor, use); };
  PublishedSource published = form == QuantizedWeights::kAsCodes ? model.published(scheme) : PublishedSource();
  const std::string variant = published.variant;
  if (!published.note.empty()) progress.note(fmt::format("{}; the bundle has their values", published.note));
  WeightConversion conversion(folder.string(), model.specs(), read_rows, std::move(published), progress, interrupt);
  SS_TRY(const std::vector<TensorToWrite> tensors, conversion.find_types());
  SS_TRY_VOID(writer.add_text("config.json", config_text(quantized.plain, torch_type_of_most(tensors))));
  SS_TRY_VOID(conversion.write(tensors, writer));
  if (!quantized.cache.empty()) progress.note(text_of_cache(quantized));
  if (const std::string note = model.note_of_kept(scheme, variant); !note.empty()) progress.note(note);
  const bool is_without = model.has_codes() && is_without_its_activations(scheme, variant);
  return model.description(scheme) + (is_without ? ", activations quantized by its runtimes" : "");
}

}  // namespace secondsource
