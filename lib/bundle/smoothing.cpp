#include "bundle/smoothing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "bundle/model_tensors.h"
#include "core/half.h"

namespace secondsource {
namespace {

constexpr int kMostExponent = 30;  ///< of a factor, far within what BF16 and F32 hold

/// The powers of two by which a tensor is multiplied: one for each row, one for each column, or none.
struct Exponents {
  std::vector<int> rows{};
  std::vector<int> columns{};
};
using ExponentsByTensor = std::map<std::string, Exponents, std::less<>>;

/// The elements of a vector, or the rows of a matrix, that are channels: first, first + step, ...
struct Channels {
  std::string tensor;
  std::int64_t first = 0;
  std::int64_t step = 1;
};

/// One product whose input is smoothed.
struct Fold {
  std::span<const float> activations;     ///< [n_inputs], if they are of this model
  std::int64_t n_inputs = 0;              ///< that the model has
  std::vector<std::string> multiplied{};  ///< weights [..., outputs, inputs]; all their rows read this input
  std::vector<Channels> divided{};        ///< norms, biases, and rows of a weight whose outputs are the channels
  /// If heads share values: the consecutive inputs of one head, and how many heads form one channel. 0: each input is a
  /// channel.
  std::int64_t head_dim = 0;
  std::int64_t heads_per_channel = 1;

  [[nodiscard]] std::size_t channel_of(std::size_t input) const {
    if (head_dim == 0) return input;
    const auto size = static_cast<std::size_t>(head_dim);
    return input / size / static_cast<std::size_t>(heads_per_channel) * size + input % size;
  }
  [[nodiscard]] std::size_t n_channels() const { return channel_of(static_cast<std::size_t>(n_inputs) - 1) + 1; }
  void multiply(const TensorRows& rows) {
    if (std::ranges::find(multiplied, rows.tensor) == multiplied.end()) multiplied.push_back(rows.tensor);
  }
  void divide_norm(const ModelConfig& config, std::string norm) {
    if (config.norm_biases) divided.push_back({.tensor = bias_name(norm)});
    divided.push_back({.tensor = std::move(norm)});
  }
  void divide_outputs(const TensorRows& rows, bool has_bias) {
    divided.push_back({.tensor = rows.tensor, .first = rows.first_row, .step = rows.step});
    if (has_bias) divided.push_back({.tensor = bias_name(rows.tensor), .first = rows.first_row, .step = rows.step});
  }
};

/// Adds the weights that read the input of a layer's network; returns false if they are stored by columns.
bool multiply_network(const ModelConfig& config, std::int64_t layer, Fold& fold) {
  const auto multiply_gated = [&](const FfnTensors& tensors) {
    if (config.gated_ffn) fold.multiply(tensors.gate);
    fold.multiply(tensors.up);
  };
  if (!config.is_mixture_layer(layer)) {
    multiply_gated(ffn_tensors(config, layer));
    return true;
  }
  fold.multiplied.push_back(router_tensor_name(config, layer));
  for (std::int64_t expert = 0; expert < config.n_experts; ++expert) {
    const FfnTensors tensors = expert_tensors(config, layer, expert);
    if (tensors.gate.transposed_matrix) return false;
    multiply_gated(tensors);
  }
  if (config.shared_ffn_dim > 0) multiply_gated(shared_expert_tensors(config, layer));
  if (config.shared_gate) fold.multiplied.push_back(shared_gate_tensor_name(layer));
  return true;
}

void add_attention_folds(const ModelConfig& config, std::int64_t layer, const LayerActivations& activations,
                         std::vector<Fold>& folds) {
  const AttentionTensors attention = attention_tensors(config, layer);
  if (config.has_norms_before() && !config.norms_add_one) {
    Fold input{.activations = activations.qkv, .n_inputs = config.dim};
    for (const TensorRows* rows : {&attention.q, &attention.k, &attention.v}) input.multiply(*rows);
    input.divide_norm(config, layer_tensor_name(layer, kAttentionNorm));
    if (!config.parallel_blocks || multiply_network(config, layer, input)) folds.push_back(std::move(input));
  }
  Fold values{.activations = activations.attention_out,
              .n_inputs = config.q_dim(),
              .multiplied = {layer_tensor_name(layer, "self_attn.o_proj.weight")},
              .head_dim = config.head_dim,
              .heads_per_channel = config.n_heads / config.n_kv_heads};
  values.divide_outputs(attention.v, config.qkv_bias);
  folds.push_back(std::move(values));
}

void add_network_folds(const ModelConfig& config, std::int64_t layer, const LayerActivations& activations,
                       std::vector<Fold>& folds) {
  if (config.has_norms_before() && !config.norms_add_one && !config.parallel_blocks) {
    Fold input{.activations = activations.gate_up, .n_inputs = config.dim};
    input.divide_norm(config, layer_tensor_name(layer, ffn_norm_name(config)));
    if (multiply_network(config, layer, input)) folds.push_back(std::move(input));
  }
  // The input of down is only proportional to up if the network has a gate.
  if (config.is_mixture_layer(layer) || !config.gated_ffn) return;
  const FfnTensors ffn = ffn_tensors(config, layer);
  Fold hidden{.activations = activations.down, .n_inputs = config.ffn_dim, .multiplied = {ffn.down.tensor}};
  hidden.divide_outputs(ffn.up, config.ffn_bias);
  folds.push_back(std::move(hidden));
}

std::vector<Fold> folds_of(const ModelConfig& config, const ActivationMaxima& maxima) {
  std::vector<Fold> folds;
  for (std::int64_t layer = 0; layer < config.n_layers; ++layer) {
    const LayerActivations& activations = maxima.layers[static_cast<std::size_t>(layer)];
    add_attention_folds(config, layer, activations, folds);
    add_network_folds(config, layer, activations, folds);
  }
  if (!config.tied_embeddings && !config.norms_add_one) {
    Fold head{.activations = maxima.head, .n_inputs = config.dim, .multiplied = {std::string(kHeadTensor)}};
    head.divide_norm(config, std::string(kFinalNormTensor));
    folds.push_back(std::move(head));
  }
  return folds;
}

/// Element i of a tensor in F32 or BF16.
float element(std::span<const std::byte> bytes, DType dtype, std::size_t i) {
  if (dtype == DType::kF32) {
    float value = 0;
    std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
    return value;
  }
  Bf16 value;
  std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
  return to_float(value);
}

/// Stores a value; false if the type does not hold it.
bool set_element(std::span<std::byte> bytes, DType dtype, std::size_t i, float value) {
  if (dtype == DType::kF32) {
    std::memcpy(bytes.data() + i * sizeof(value), &value, sizeof(value));
    return std::isfinite(value);
  }
  const Bf16 rounded = to_bf16(value);
  std::memcpy(bytes.data() + i * sizeof(rounded), &rounded, sizeof(rounded));
  return std::isfinite(value) && to_float(rounded) == value;
}

/// The exponents of a product's channels. A channel that no token or no weight uses has 0.
std::vector<int> exponents_of(const Fold& fold, const TensorStore& tensors, double alpha) {
  std::vector<float> activations(fold.n_channels(), 0.0F);
  std::vector<float> weights(fold.n_channels(), 0.0F);
  for (std::size_t input = 0; input < fold.activations.size(); ++input) {
    float& most = activations[fold.channel_of(input)];
    most = std::max(most, fold.activations[input]);
  }
  for (const std::string& name : fold.multiplied) {
    const StoredTensor& tensor = *tensors.find(name);
    const std::size_t n_columns = fold.activations.size();
    const std::size_t n_values = tensor.info.size_bytes / size_of(*tensor.info.dtype);
    for (std::size_t i = 0; i < n_values; ++i) {
      float& most = weights[fold.channel_of(i % n_columns)];
      most = std::max(most, std::abs(element(tensor.bytes(), *tensor.info.dtype, i)));
    }
  }
  std::vector<int> exponents(fold.n_channels(), 0);
  std::vector<int> used;
  const auto is_used = [&](std::size_t channel) { return activations[channel] > 0 && weights[channel] > 0; };
  for (std::size_t channel = 0; channel < exponents.size(); ++channel) {
    if (!is_used(channel)) continue;
    const double log_s = alpha * std::log2(static_cast<double>(activations[channel])) -
                         (1.0 - alpha) * std::log2(static_cast<double>(weights[channel]));
    exponents[channel] = static_cast<int>(std::nearbyint(log_s));
    used.push_back(exponents[channel]);
  }
  if (used.empty()) return exponents;
  const auto middle = used.begin() + static_cast<std::ptrdiff_t>((used.size() - 1) / 2);
  std::nth_element(used.begin(), middle, used.end());
  for (std::size_t channel = 0; channel < exponents.size(); ++channel) {
    if (is_used(channel)) exponents[channel] = std::clamp(exponents[channel] - *middle, -kMostExponent, kMostExponent);
  }
  return exponents;
}

ExponentsByTensor exponents_by_tensor(const ModelConfig& config, const TensorStore& tensors,
                                      const SmoothingPlan& plan) {
  ExponentsByTensor found;
  for (const Fold& fold : folds_of(config, plan.maxima)) {
    const std::vector<int> exponents = exponents_of(fold, tensors, plan.record.alpha);
    std::vector<int> of_inputs(fold.activations.size());
    for (std::size_t input = 0; input < of_inputs.size(); ++input) of_inputs[input] = exponents[fold.channel_of(input)];
    for (const std::string& name : fold.multiplied) found[name].columns = of_inputs;
    for (const Channels& channels : fold.divided) {
      const Shape& shape = tensors.find(channels.tensor)->info.shape;
      Exponents& of_tensor = found[channels.tensor];
      std::vector<int>& divided = shape.rank() == 1 ? of_tensor.columns : of_tensor.rows;
      divided.resize(static_cast<std::size_t>(shape.extent(0)), 0);
      for (std::size_t channel = 0; channel < exponents.size(); ++channel) {
        divided[static_cast<std::size_t>(channels.first) + channel * static_cast<std::size_t>(channels.step)] =
            -exponents[channel];
      }
    }
  }
  return found;
}

/// The tensor's values times their powers of two, in its type.
Result<std::vector<std::byte>> scaled(const StoredTensor& tensor, const Exponents& exponents) {
  const DType dtype = *tensor.info.dtype;
  std::vector<std::byte> out(tensor.info.size_bytes);
  const auto n_columns = static_cast<std::size_t>(tensor.info.shape.extent(tensor.info.shape.rank() - 1));
  const std::size_t n_values = out.size() / size_of(dtype);
  for (std::size_t i = 0; i < n_values; ++i) {
    const int of_row = exponents.rows.empty() ? 0 : exponents.rows[i / n_columns];
    const int of_column = exponents.columns.empty() ? 0 : exponents.columns[i % n_columns];
    const float value = element(tensor.bytes(), dtype, i);
    const float product = std::ldexp(value, of_row + of_column);
    if (set_element(out, dtype, i, product) && std::ldexp(product, -of_row - of_column) == value) continue;
    return Error{ErrorCode::kUnsupported, fmt::format("{}: {:g} times 2^{} is no number of its type", tensor.info.name,
                                                      value, of_row + of_column)};
  }
  return out;
}

Result<void> check_maxima(const ModelConfig& config, const ActivationMaxima& maxima) {
  const auto fits = [](const Fold& fold) { return std::cmp_equal(fold.activations.size(), fold.n_inputs); };
  if (std::cmp_equal(maxima.layers.size(), config.n_layers) && std::ranges::all_of(folds_of(config, maxima), fits)) {
    return {};
  }
  return Error{ErrorCode::kInvalidInput, "smoothing: expected the activations of this model, found those of another"};
}

}  // namespace

Result<void> check_can_be_smoothed(const ModelConfig& config, const TensorStore& tensors) {
  const auto refused = [&](std::string_view what) {
    return Error{ErrorCode::kUnsupported, fmt::format("smoothing: {}: {}", to_string(config.architecture), what)};
  };
  if (!tensors.published_variant().empty()) {
    return refused("the bundle has published codes; make one of the source with --dequantize, and smooth that");
  }
  if (config.is_text_part) return refused("models with a part for pictures are not smoothed");
  if (config.latent.is_present()) return refused("latent attention is not smoothed");
  for (const TensorSpec& spec : model_tensors(config)) {
    const StoredTensor* const tensor = tensors.find(spec.name);
    if (tensor == nullptr || (tensor->info.dtype != DType::kBf16 && tensor->info.dtype != DType::kF32)) {
      return refused(fmt::format("{}: expected BF16 or F32, whose products with powers of two are exact", spec.name));
    }
  }
  return {};
}

Result<void> write_smoothed_weights(const std::filesystem::path& folder, const ModelConfig& config,
                                    const TensorStore& tensors, const SmoothingPlan& plan, BundleWriter& writer,
                                    Progress& progress, const InterruptFlag& interrupt) {
  SS_TRY_VOID(check_maxima(config, plan.maxima));
  const ExponentsByTensor exponents = exponents_by_tensor(config, tensors, plan);
  progress.begin("smoothed tensors", static_cast<std::int64_t>(tensors.tensors().size()));
  std::int64_t n_written = 0;
  for (const std::string& file : tensors.files()) {
    SS_TRY(const TensorStore stored, TensorStore::open_file(folder / file));
    std::vector<TensorToWrite> header;
    for (const auto& [name, tensor] : stored.tensors()) {
      if (!tensor.info.dtype) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("{}: {}: the type {} is not written", file, name, tensor.info.dtype_name)};
      }
      header.push_back({name, *tensor.info.dtype, tensor.info.shape});
    }
    SS_TRY(const std::filesystem::path place, writer.place_for(file));
    SS_TRY(SafetensorsWriter weights, SafetensorsWriter::create(place, header));
    for (const auto& [name, tensor] : stored.tensors()) {
      SS_TRY_VOID(interrupt.check());
      const auto found = exponents.find(name_of_stored(config, name));
      if (found == exponents.end()) {
        SS_TRY_VOID(weights.write(tensor.bytes()));
      } else {
        SS_TRY(const std::vector<std::byte> bytes, scaled(tensor, found->second));
        SS_TRY_VOID(weights.write(bytes));
      }
      progress.update(++n_written);
    }
    SS_TRY(const WrittenFile written, weights.finish());
    writer.add_written(file, written);
  }
  return {};
}

}  // namespace secondsource
