#pragma once
// Speculative decoding, the prefix cache and the type of the KV cache of a served system. Each setting is read from the
// server if it reports it, else from the command line that starts it, else taken from the plan, and is always recorded
// with its source. Rows that differ in one of these settings are never compared without naming the difference.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "record/served_system.h"

namespace secondsource {

/// The settings by the plan or the command line; empty: not given.
struct PlannedFeatures {
  std::string speculative{};
  std::string prefix_cache{};
  std::string kv_cache{};
  friend bool operator==(const PlannedFeatures&, const PlannedFeatures&) = default;
};

/// The settings that the server itself reports; nullopt: not reported.
struct ToldFeatures {
  std::optional<std::string> speculative{};
  std::optional<std::string> prefix_cache{};
  std::optional<std::string> kv_cache{};
};

/// A value of the plan's key `key` ("speculative", "prefix_cache" or "kv_cache"), in one spelling. Errors: kInvalidInput.
Result<std::string> planned_feature(std::string_view key, std::string_view value);

/// "on" for "true", "True", "1" and the like, "off" for their opposites, any other text as it is.
[[nodiscard]] std::string in_one_spelling(std::string_view value);

/// `planned`, with the settings of the command `start` where the plan has none.
[[nodiscard]] PlannedFeatures with_command(ServerPreset preset, const std::vector<std::string>& start,
                                           PlannedFeatures planned);

/// The settings of a system. `start` is the command with which this program starts it; empty: it does not. Errors:
/// kInvalidInput if the plan contradicts the server, the command or the requests.
Result<ServedFeatures> settled_features(ServerPreset preset, const ToldFeatures& told,
                                        const std::vector<std::string>& start, const PlannedFeatures& planned);

}  // namespace secondsource
