#pragma once
// How a plan says that a server is to be started, checked. No shell is involved: a command is a list of words.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "record/served_system.h"

namespace secondsource {

inline constexpr double kDefaultStartDeadlineS = 600;
inline constexpr double kDefaultStopDeadlineS = 30;

/// The words of a command line, separated by blanks. Errors: kInvalidInput for quotes and other signs that a shell would
/// interpret, since none does: such a command is written as a list.
Result<std::vector<std::string>> command_words(std::string_view text);

/// What stands for {model} and {port}.
struct StartPlaces {
  std::string model;
  std::int32_t port = 0;
};
[[nodiscard]] std::string filled(std::string_view word, const StartPlaces& places);
[[nodiscard]] std::vector<std::string> filled(const std::vector<std::string>& words, const StartPlaces& places);

/// Checks the parts and fills in what `preset` knows. `has_url` is true if the plan gives the address; otherwise the port
/// is chosen by this program, and something must tell the server. Errors: kInvalidInput.
Result<void> complete_managed_start(ManagedStart& managed, ServerPreset preset, bool has_url);

}  // namespace secondsource
