#pragma once
// Gives the programs that one test starts a cache of their own instead of the user's. tests/support/own_cache.py does the same in Python.

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "core/file.h"

namespace secondsource::test {

/// The environment variable that makes `folder` the cache. What the user's processes know of this machine's limits is
/// shared by a link, since a program without it measures them for seconds; a test of that measurement needs a cache without it.
inline std::pair<std::string, std::string> own_cache(const std::filesystem::path& folder) {
  if (const auto of_user = cache_folder(); of_user) {
    std::error_code failed;  // without the link the limits are measured
    std::filesystem::create_directories(*of_user / "limits", failed);
    std::filesystem::create_directories(folder / "secondsource", failed);
    std::filesystem::create_directory_symlink(*of_user / "limits", folder / "secondsource/limits", failed);
  }
  return {"XDG_CACHE_HOME", folder.string()};
}

}  // namespace secondsource::test
