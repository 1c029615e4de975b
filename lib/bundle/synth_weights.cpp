#include "bundle/synth_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "bundle/safetensors_writer.h"
#include "bundle/tensor_store.h"
#include "core/hash.h"
#include "core/random.h"

namespace secondsource {
namespace {

constexpr std::int64_t kShardBytes = std::int64_t{4} << 30;
constexpr std::size_t kChunkValues = std::size_t{1} << 18;

std::int64_t size_bytes_of(const TensorSpec& tensor) {
  return *tensor.shape.n_elements() * static_cast<std::int64_t>(size_of(DType::kBf16));
}

/// Splits the tensors into runs of consecutive ones of at most about kShardBytes each.
std::vector<std::vector<TensorSpec>> split_into_shards(std::vector<TensorSpec> tensors) {
  std::vector<std::vector<TensorSpec>> shards(1);
  std::int64_t shard_bytes = 0;
  for (TensorSpec& tensor : tensors) {
    const std::int64_t size_bytes = size_bytes_of(tensor);
    if (shard_bytes > 0 && shard_bytes + size_bytes > kShardBytes) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    shard_bytes += size_bytes;
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

/// Counts the bytes written to all shards together.
struct WeightProgress {
  Progress* progress;
  const InterruptFlag* interrupt;
  std::int64_t n_bytes = 0;
};

Result<WrittenFile> write_shard(const std::filesystem::path& path, const std::vector<TensorSpec>& tensors,
                                const ModelConfig& config, std::uint64_t seed, WeightProgress& progress) {
  std::vector<TensorToWrite> header;
  for (const TensorSpec& tensor : tensors) {
    header.push_back({stored_name(config, tensor.name), DType::kBf16, tensor.shape});
  }
  SS_TRY(SafetensorsWriter writer, SafetensorsWriter::create(path, header, {{"format", "pt"}}));
  std::vector<Bf16> chunk;
  for (const TensorSpec& tensor : tensors) {
    const WeightNoise noise = noise_of(config, tensor, seed);
    const auto n_values = static_cast<std::size_t>(*tensor.shape.n_elements());
    for (std::size_t first = 0; first < n_values; first += chunk.size()) {
      SS_TRY_VOID(progress.interrupt->check());
      chunk.resize(std::min(kChunkValues, n_values - first));
      fill_noise(noise, first, chunk);
      SS_TRY_VOID(writer.write(std::as_bytes(std::span(chunk))));
      progress.n_bytes += static_cast<std::int64_t>(chunk.size() * sizeof(Bf16));
      progress.progress->update(progress.n_bytes >> 20);
    }
  }
  return writer.finish();
}

}  // namespace

WeightNoise noise_of(const ModelConfig& config, const TensorSpec& tensor, std::uint64_t seed) {
  // The seed of a tensor depends on its name alone, so a model with more layers has the same values in its first
  // layers.
  std::uint64_t tensor_seed = seed;
  for (const char c : tensor.name) tensor_seed = random_bits(tensor_seed, static_cast<unsigned char>(c));
  const auto n_inputs = static_cast<double>(tensor.shape.extent(tensor.shape.rank() - (tensor.is_transposed ? 2 : 1)));
  double spread = 1.0 / std::sqrt(n_inputs);
  switch (tensor.role) {
    case TensorRole::kNorm:
      return {tensor_seed, 1.0F, 0.1F};
    case TensorRole::kBias:
    case TensorRole::kChoiceBias:
      return {tensor_seed, 0.0F, 0.02F};
    case TensorRole::kEmbedding:
      // A tied head uses these rows as weights: a standard deviation of 3 for the logits keeps the best ones apart.
      return {tensor_seed, 0.0F, static_cast<float>(3.0 * spread)};
    case TensorRole::kRouter:
      return {tensor_seed, 0.0F, static_cast<float>(spread)};
    case TensorRole::kMatmul:
    case TensorRole::kLatent:
      break;
  }
  const bool into_residual = tensor.name.ends_with("o_proj.weight") || tensor.name.ends_with("down_proj.weight") ||
                             tensor.name.ends_with(".w2.weight") || tensor.name.ends_with("output_linear.weight") ||
                             tensor.name.ends_with("experts.down_proj");
  if (into_residual) spread /= std::sqrt(2.0 * static_cast<double>(config.n_layers));
  if (tensor.name == kHeadTensor) spread *= 3.0;
  return {tensor_seed, 0.0F, static_cast<float>(spread)};
}

void fill_noise(const WeightNoise& noise, std::uint64_t first, std::span<Bf16> out) {
  // The sum of four uniform 16-bit numbers: mean 2 * 65535, variance 4 * (65536^2 - 1) / 12. All arithmetic up to here
  // is on integers, so that every machine gets the same bits.
  constexpr float kMean = 131070.0F;
  constexpr float kDeviation = 37837.2F;
  const float scale = noise.spread / kDeviation;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint64_t bits = random_bits(noise.seed, first + i);
    const std::uint64_t sum = (bits & 0xffffU) + ((bits >> 16) & 0xffffU) + ((bits >> 32) & 0xffffU) + (bits >> 48);
    const float centred = static_cast<float>(sum) - kMean;
    out[i] = to_bf16(noise.offset + centred * scale);
  }
}

Result<void> write_synthetic_weights(const ModelConfig& config, std::uint64_t seed, BundleWriter& bundle,
                                     Progress& progress, const InterruptFlag& interrupt) {
  const auto shards = split_into_shards(model_tensors(config));
  progress.begin("writing random weights (MiB)", n_parameters(config) * 2 >> 20);
  WeightProgress total{&progress, &interrupt};
  if (shards.size() == 1) {
    SS_TRY(const std::filesystem::path path, bundle.place_for("model.safetensors"));
    SS_TRY(const WrittenFile written, write_shard(path, shards[0], config, seed, total));
    bundle.add_written("model.safetensors", written);
    return {};
  }
  nlohmann::ordered_json index = {{"metadata", {{"total_size", n_parameters(config) * 2}}},
                                  {"weight_map", nlohmann::ordered_json::object()}};
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    SS_TRY(const std::filesystem::path path, bundle.place_for(file));
    SS_TRY(const WrittenFile written, write_shard(path, shards[i], config, seed, total));
    bundle.add_written(file, written);
    for (const TensorSpec& tensor : shards[i]) index["weight_map"][stored_name(config, tensor.name)] = file;
  }
  return bundle.add_text(std::string(kWeightIndexFile), index.dump(2) + "\n");
}

}  // namespace secondsource
