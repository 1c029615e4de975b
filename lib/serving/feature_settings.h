#pragma once
// Speculative decoding, the prefix cache and the type of the KV cache of a served system: read from the server where it
// tells them, else from the command line by which it is started, else taken from the plan, and always with the name of
// who says so. Rows that differ in one of them are never compared without naming it.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "record/served_system.h"

namespace secondsource {

/// What the plan or the command line says of a system; empty: nothing.
struct PlannedFeatures {
  std::string speculative{};
  std::string prefix_cache{};
  std::string kv_cache{};
  friend bool operator==(const PlannedFeatures&, const PlannedFeatures&) = default;
};

/// What the server itself says; nullopt: nothing.
struct ToldFeatures {
  std::optional<std::string> speculative{};
  std::optional<std::string> prefix_cache{};
  std::optional<std::string> kv_cache{};
};

/// A value of the plan's key `key` ("speculative", "prefix_cache" or "kv_cache"), in one spelling. Errors: kInvalidInput.
Result<std::string> planned_feature(std::string_view key, std::string_view value);

/// "on" for "true", "True", "1" and the like, "off" for their opposites, any other text as it is.
[[nodiscard]] std::string in_one_spelling(std::string_view value);

/// `planned`, and what the command `start` says where the plan says nothing.
[[nodiscard]] PlannedFeatures with_command(ServerPreset preset, const std::vector<std::string>& start,
                                           PlannedFeatures planned);

/// The settings of a system. `start` is the command that starts it; empty: it is not started by this program. Errors:
/// kInvalidInput if the plan says what the server or the command denies.
Result<ServedFeatures> settled_features(ServerPreset preset, const ToldFeatures& told,
                                        const std::vector<std::string>& start, const PlannedFeatures& planned);

}  // namespace secondsource
