#pragma once
// Real test data that is read in place and never copied into the project: the folder that the environment variable
// SECONDSOURCE_ASSETS names. Where it is not set, a test says so and counts as skipped, never as passed.

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string_view>

namespace secondsource::test {

/// The path of an asset; nullopt, with a line on stdout, when the assets or this one are absent.
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
