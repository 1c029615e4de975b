#pragma once
// Paths of committed files for tests. Only source_path.cpp is compiled with the location of the source tree, so that
// clones in different folders share the compiler cache for all other files.

#include <string>
#include <string_view>

namespace secondsource::test {

/// The absolute path of a file in the repository.
[[nodiscard]] std::string source_path(std::string_view relative_path);

/// The absolute path of tests/data/RELATIVE_PATH.
[[nodiscard]] std::string data_file(std::string_view relative_path);

}  // namespace secondsource::test
