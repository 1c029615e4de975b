#pragma once
// Test data that is committed in tests/data.

#include <filesystem>
#include <string_view>

namespace secondsource::test {

/// The path of tests/data/RELATIVE_PATH.
inline std::filesystem::path data_file(std::string_view relative_path) {
  return std::filesystem::path(SECONDSOURCE_TEST_DATA) / relative_path;
}

}  // namespace secondsource::test
