#pragma once
// The bundle that speed is measured on. Weights that fit into the last-level cache would measure the cache, so that a
// small bundle is replaced by one with random weights that does not fit; tokens are judged on the real one.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bundle/model_config.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "measure/host_files.h"

namespace secondsource {

/// Of CPU 0; nullopt where /sys does not say.
[[nodiscard]] std::optional<std::int64_t> last_level_cache_bytes(const HostFiles& files);

/// Bytes of weights that one token reads, in the smallest of these variants.
[[nodiscard]] std::int64_t weight_bytes(const ModelConfig& config, const std::vector<std::string>& variants);

/// Weights must be twice this size to be read from memory every time.
[[nodiscard]] bool is_too_large_for(std::int64_t cache_bytes, std::int64_t weight_bytes);

/// A bundle of the shape demo-50m with as many layers as it takes, in CACHE/synthesised, made when it is not there.
/// Errors: kIo, kInterrupted; kUnsupported when 256 layers do not do.
Result<std::filesystem::path> synthesised_bundle_beyond(std::int64_t cache_bytes,
                                                        const std::vector<std::string>& variants, Progress& progress,
                                                        const InterruptFlag& interrupt);

}  // namespace secondsource
