#pragma once
// Where the running program is.

#include <filesystem>

namespace secondsource {

/// The file of this program, however it was started: through PATH, by a link or by its path. `argv0` is what it falls back
/// on where the system does not tell.
[[nodiscard]] std::filesystem::path path_of_this_program(const char* argv0);

}  // namespace secondsource
