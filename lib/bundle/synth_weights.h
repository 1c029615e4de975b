#pragma once
// Generates the random weights of synth.h.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bundle/bundle_writer.h"
#include "bundle/model_config.h"
#include "bundle/model_tensors.h"
#include "core/half.h"

namespace secondsource {

/// The distribution of one tensor's values: offset + spread * (noise of standard deviation 1).
struct WeightNoise {
  std::uint64_t seed = 0;  ///< seed of this tensor alone
  float offset = 0.0F;
  float spread = 0.0F;
};
[[nodiscard]] WeightNoise noise_of(const ModelConfig& config, const TensorSpec& tensor, std::uint64_t seed);

/// Generates the values [first, first + out.size()) of a tensor.
void fill_noise(const WeightNoise& noise, std::uint64_t first, std::span<Bf16> out);

/// Streams all tensors to model.safetensors, or to shards of at most about 4 GiB with their index. Errors: kIo,
/// kInterrupted.
Result<void> write_synthetic_weights(const ModelConfig& config, std::uint64_t seed, BundleWriter& bundle,
                                     Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
