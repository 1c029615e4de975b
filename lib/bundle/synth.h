#pragma once
// Makes a bundle with random weights in the shape of a model, for speed measurements, where the values do not matter,
// and for conformance tests. The weights are streamed to disk, and the same arguments give the same bytes on every
// machine. The bundle has no expected outputs and is unverified.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

struct SynthOptions {
  std::string name;    ///< the name of the bundle
  std::string source;  ///< the source of the dimensions, for the manifest and for messages
  /// As Hugging Face writes it; the end-of-text ids and the dtype are replaced by those of the bundle.
  std::string config_json;
  std::uint64_t seed = 1;
};

/// Writes the bundle to `target`, which must not exist or be an empty folder; an interrupted attempt leaves nothing
/// there. Weights are BF16 Irwin-Hall sums (close to normal) with mean 0 and standard deviation 1/sqrt(inputs).
/// Projections back into the residual stream are divided by sqrt(2 * layers), so that activations keep their size.
/// Norms are around 1. Errors: kInvalidInput, kUnsupported, kIo, kInterrupted.
Result<void> synthesize_bundle(const SynthOptions& options, const std::filesystem::path& target, Progress& progress,
                               const InterruptFlag& interrupt);

}  // namespace secondsource
