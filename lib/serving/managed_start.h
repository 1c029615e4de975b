#pragma once
// How a plan tells this program to start a server, checked. No shell is involved: a command is a list of words.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "record/served_system.h"

namespace secondsource {

inline constexpr double kDefaultStartDeadlineS = 600;
inline constexpr double kDefaultStopDeadlineS = 30;

/// Splits a command line at blanks. Errors: kInvalidInput for quotes and other characters that a shell would interpret,
/// since there is no shell; such a command must be written as a list.
Result<std::vector<std::string>> command_words(std::string_view text);

/// The values of the placeholders {model} and {port}.
struct StartPlaces {
  std::string model;
  std::int32_t port = 0;
};
[[nodiscard]] std::string filled(std::string_view word, const StartPlaces& places);
[[nodiscard]] std::vector<std::string> filled(const std::vector<std::string>& words, const StartPlaces& places);

/// Checks the parts and fills in the defaults of `preset`. `has_url` is true if the plan gives the address; otherwise
/// this program chooses the port, and {port} must occur in the start command, the options or the environment. Errors:
/// kInvalidInput.
Result<void> complete_managed_start(ManagedStart& managed, ServerPreset preset, bool has_url);

}  // namespace secondsource
