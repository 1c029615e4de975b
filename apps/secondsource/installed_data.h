#pragma once
// The data that is installed with the program: bundles, prompts, prices, templates. It is in ../share/secondsource beside
// the program; in a build tree there are links to the source tree.

#include <filesystem>
#include <string>

#include "core/result.h"

namespace secondsource {

/// The folder of the data; it may be missing where the program was copied without it.
[[nodiscard]] std::filesystem::path installed_data(const std::filesystem::path& program);

/// The path of a bundle: of "installed:default" that of the installed one, of anything else the same path. Errors:
/// kInvalidInput for an installed bundle that is not there, with the names of those that are.
Result<std::filesystem::path> bundle_path(const std::filesystem::path& bundle, const std::filesystem::path& program);

}  // namespace secondsource
