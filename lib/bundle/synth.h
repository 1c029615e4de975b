#pragma once
// A bundle with random weights in the shape of a model: for speed, where the values do not matter, and for conformance.
// Streams to disk; the same arguments give the same bytes on every machine. It has no expected outputs: unverified.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

struct SynthOptions {
  std::string name;         ///< of the bundle
  std::string source;       ///< where the dimensions come from, for the manifest
  std::string config_json;  ///< as Hugging Face writes it; end-of-text ids and dtype are set to those of the bundle
  std::uint64_t seed = 1;
};

/// Writes the bundle to `target`, which must be free; an interrupted attempt leaves nothing there.
/// Weights: Irwin-Hall sums (close to normal), mean 0, standard deviation 1/sqrt(inputs), projections back into the
/// residual stream divided by sqrt(2 * layers), so that activations keep their size; norms around 1; BF16.
/// Errors: kInvalidInput, kUnsupported, kIo, kInterrupted.
Result<void> synthesize_bundle(const SynthOptions& options, const std::filesystem::path& target, Progress& progress,
                               const InterruptFlag& interrupt);

}  // namespace secondsource
