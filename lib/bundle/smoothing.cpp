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

/// Powers of two by which a tensor is multiplied: one for each row, one for each column, or none.
struct Exponents {
  std::vector<int> rows{};
  std::vector<int> columns{};
};
using ExponentsByTensor = std::map<std::string, Exponents, std::less<>>;

/// One product whose input is smoothed.
struct Fold {
  std::span<const float> activations;            ///< [inputs]
  std::vector<std::string> multiplied;           ///< weights [outputs, inputs]
  std::vector<std::string> divided_vectors{};    ///< norms and biases, one element a channel
  std::optional<std::string> divided_rows = {};  ///< a weight whose output is a channel
  /// For heads that share values: consecutive inputs of one head, and how many heads are one channel. 0: each input is one.
  std::int64_t head_dim = 0;
  std::int64_t heads_per_channel = 1;

  [[nodiscard]] std::size_t channel_of(std::size_t input) const {
    if (head_dim == 0) return input;
    const auto size = static_cast<std::size_t>(head_dim);
    return input / size / static_cast<std::size_t>(heads_per_channel) * size + input % size;
  }
  [[nodiscard]] std::size_t n_channels() const { return channel_of(activations.size() - 1) + 1; }
};

std::vector<Fold> folds_of(const ModelConfig& config, const ActivationMaxima& maxima) {
  std::vector<Fold> folds;
  for (std::int64_t layer = 0; layer < config.n_layers; ++layer) {
    const LayerActivations& activations = maxima.layers[static_cast<std::size_t>(layer)];
    const AttentionTensors attention = attention_tensors(config, layer);
    const FfnTensors ffn = ffn_tensors(config, layer);
    folds.push_back({.activations = activations.qkv,
                     .multiplied = {attention.q.tensor, attention.k.tensor, attention.v.tensor},
                     .divided_vectors = {layer_tensor_name(layer, kAttentionNorm)}});
    Fold values{.activations = activations.attention_out,
                .multiplied = {layer_tensor_name(layer, "self_attn.o_proj.weight")},
                .divided_rows = attention.v.tensor,
                .head_dim = config.head_dim,
                .heads_per_channel = config.n_heads / config.n_kv_heads};
    if (config.qkv_bias) values.divided_vectors.push_back(bias_name(attention.v.tensor));
    folds.push_back(std::move(values));
    folds.push_back({.activations = activations.gate_up,
                     .multiplied = {ffn.gate.tensor, ffn.up.tensor},
                     .divided_vectors = {layer_tensor_name(layer, ffn_norm_name(config))}});
    Fold hidden{.activations = activations.down, .multiplied = {ffn.down.tensor}, .divided_rows = ffn.up.tensor};
    if (config.ffn_bias) hidden.divided_vectors.push_back(bias_name(ffn.up.tensor));
    folds.push_back(std::move(hidden));
  }
  if (!config.tied_embeddings) {
    folds.push_back({.activations = maxima.head,
                     .multiplied = {std::string(kHeadTensor)},
                     .divided_vectors = {std::string(kFinalNormTensor)}});
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

/// The exponents of a product's channels. A channel that no token uses, or no weight, has 0.
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

std::vector<int> negated(std::vector<int> exponents) {
  for (int& exponent : exponents) exponent = -exponent;
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
    for (const std::string& name : fold.divided_vectors) found[name].columns = negated(exponents);
    if (fold.divided_rows) found[*fold.divided_rows].rows = negated(exponents);
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
  const auto has = [](const std::vector<float>& values, std::int64_t n) {
    return std::cmp_equal(values.size(), n) && n > 0;
  };
  const bool fits = std::cmp_equal(maxima.layers.size(), config.n_layers) && has(maxima.head, config.dim) &&
                    std::ranges::all_of(maxima.layers, [&](const LayerActivations& layer) {
                      return has(layer.qkv, config.dim) && has(layer.attention_out, config.q_dim()) &&
                             has(layer.gate_up, config.dim) && has(layer.down, config.ffn_dim);
                    });
  if (fits) return {};
  return Error{ErrorCode::kInvalidInput, "smoothing: expected the activations of this model, found those of another"};
}

}  // namespace

Result<void> check_can_be_smoothed(const ModelConfig& config, const TensorStore& tensors) {
  const auto refused = [&](std::string_view what) {
    return Error{ErrorCode::kUnsupported, fmt::format("smoothing: {}: {}", to_string(config.architecture), what)};
  };
  if (config.n_experts > 0) return refused("mixtures of experts are not smoothed");
  if (config.is_text_part) return refused("models with a part for pictures are not smoothed");
  if (config.latent.is_present()) return refused("latent attention is not smoothed");
  if (!config.gated_ffn || config.fused_projections || config.parallel_blocks) {
    return refused("expected q, k, v, gate and up as tensors of their own, behind norms of their own");
  }
  if (config.norms_center || config.norms_add_one || config.has_norms_after() || !config.has_norms_before()) {
    return refused("expected RMS norms before the blocks that multiply by their weight");
  }
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
