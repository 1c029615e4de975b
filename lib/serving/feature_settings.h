#pragma once
// Speculative decoding, the prefix cache and the type of the KV cache of a served system. Each setting is read from the
// server if it reports it, else from the command that starts it and its environment, else taken from the plan, and is always recorded
// with its source. Rows that differ in one of these settings are never compared without naming the difference.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
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

/// The command with which this program starts a server, and the variables of its environment that may be settings. Without
/// words: this program does not start it.
struct ServerCommand {
  std::vector<std::string> words{};
  std::vector<std::pair<std::string, std::string>> environment{};
};

/// The command of a plan, with the variables that the server inherits from this program.
[[nodiscard]] ServerCommand server_command(const ManagedStart& managed, ServerPreset preset);

/// `planned`, with the settings of the command where the plan has none.
[[nodiscard]] PlannedFeatures with_command(ServerPreset preset, const ServerCommand& command, PlannedFeatures planned);

/// The settings of a system. Errors: kInvalidInput if the plan contradicts the server, the command or the requests.
Result<ServedFeatures> settled_features(ServerPreset preset, const ToldFeatures& told, const ServerCommand& command,
                                        const PlannedFeatures& planned);

}  // namespace secondsource
