#pragma once
// Real test data, read in place from the folder named by the environment variable SECONDSOURCE_ASSETS and never copied
// into the project. Without the variable a test prints that it was skipped; it never counts as passed for that reason.

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string_view>

namespace secondsource::test {

/// The path of an asset; nullopt, with a line on stdout, when there are no assets or this one is missing.
inline std::optional<std::filesystem::path> asset(std::string_view relative_path) {
  const char* folder = std::getenv("SECONDSOURCE_ASSETS");
  if (folder == nullptr || folder[0] == '\0') {
    std::cout << "skipped: " << relative_path << ": SECONDSOURCE_ASSETS is not set\n";
    return std::nullopt;
  }
  const std::filesystem::path path = std::filesystem::path(folder) / relative_path;
  if (!std::filesystem::exists(path)) {
    std::cout << "skipped: " << path.string() << " is absent\n";
    return std::nullopt;
  }
  return path;
}

}  // namespace secondsource::test
