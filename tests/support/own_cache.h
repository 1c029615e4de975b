#pragma once
// Gives the programs that a test starts a separate cache instead of the user's. tests/support/own_cache.py does the same in Python.

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "core/file.h"

namespace secondsource::test {

/// The environment variable that makes `folder` the cache. The folder links to the machine limits in the user's cache, because
/// a program without them measures them for seconds. A test of that measurement needs a cache without this link.
inline std::pair<std::string, std::string> own_cache(const std::filesystem::path& folder) {
  if (const auto of_user = cache_folder(); of_user) {
    std::error_code failed;  // an error is ignored: the limits are then measured
    std::filesystem::create_directories(*of_user / "limits", failed);
    std::filesystem::create_directories(folder / "secondsource", failed);
    std::filesystem::create_directory_symlink(*of_user / "limits", folder / "secondsource/limits", failed);
  }
  return {"XDG_CACHE_HOME", folder.string()};
}

}  // namespace secondsource::test
