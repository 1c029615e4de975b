#pragma once
// Chooses the bundle on which speed is measured. With weights that fit into the last-level cache, the cache would be
// measured instead of the memory. A small bundle is therefore replaced by one with random weights that does not fit;
// tokens are judged on the original bundle.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bundle/model_config.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// Bytes of weights that one token reads, in the smallest of `variants`.
[[nodiscard]] std::int64_t weight_bytes(const ModelConfig& config, const std::vector<std::string>& variants);

/// True if the weights have at least twice the size of the cache, so that every pass reads them from memory.
[[nodiscard]] bool is_too_large_for(std::int64_t cache_bytes, std::int64_t weight_bytes);

/// The size of this machine's last-level cache; 64 MiB where the machine does not say it.
[[nodiscard]] std::int64_t timed_cache_bytes();

/// Refuses the first published variant in `variants` if a synthesised bundle would be timed instead of the one at
/// `bundle`, whose model is `config`: random weights have no published variants. Errors: kInvalidInput, naming
/// --timed-bundle.
Result<void> check_timed_variants(const ModelConfig& config, const std::filesystem::path& bundle,
                                  const std::vector<std::string>& variants, std::int64_t cache_bytes);

/// Returns a bundle of the shape demo-50m with as many layers as needed to exceed the cache. It is in CACHE/synthesised
/// and is made when missing. Errors: kIo; kInterrupted; kUnsupported when 256 layers are not enough.
Result<std::filesystem::path> synthesised_bundle_beyond(std::int64_t cache_bytes,
                                                        const std::vector<std::string>& variants, Progress& progress,
                                                        const InterruptFlag& interrupt);

}  // namespace secondsource
