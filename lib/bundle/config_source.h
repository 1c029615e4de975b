#pragma once
// What the parts of parse_model_config() share: a configuration with the class that reads it. Each part reads its keys
// into the ModelConfig and relies on what the parts before it have read.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "bundle/config_class.h"
#include "bundle/model_config.h"
#include "core/json_fields.h"

namespace secondsource::detail {

// These limits are far above every published model, and small enough that no product of extents overflows.
inline constexpr std::int64_t kMaxExtent = std::int64_t{1} << 20;
inline constexpr std::int64_t kMaxLayers = 4096;
inline constexpr std::int64_t kMaxSeqLen = std::int64_t{1} << 27;

/// A configuration file and the class that reads it.
struct ConfigSource {
  const JsonFields& fields;
  const nlohmann::json& root;
  const ConfigClass& defaults;

  /// True if the key has the value null, which means "none"; an absent key means the class's default.
  [[nodiscard]] bool is_null(std::string_view key) const;
};

/// "NAME: KEY: WHAT", for a valid model that is not implemented.
[[nodiscard]] Error unsupported(const JsonFields& fields, std::string_view key, std::string_view what);

/// Reads which layers have a sliding window. Needs the sizes.
Result<void> parse_windows(const ConfigSource& source, ModelConfig& config);

/// Reads the tables of the rotary embedding and which layer uses which. Needs the windows.
Result<void> parse_rope(const ConfigSource& source, ModelConfig& config);

/// Which layers are not rotated (SmolLM3): those with a 0 in no_rope_layers, or every fourth.
Result<std::vector<bool>> unrotated_layers(const ConfigSource& source, std::int64_t n_layers);

/// Reads which layers are mixtures of experts, and how they choose. Needs the sizes.
Result<void> parse_mixture(const ConfigSource& source, ModelConfig& config);

}  // namespace secondsource::detail
