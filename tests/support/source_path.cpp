#include "support/source_path.h"

namespace secondsource::test {

std::string source_path(std::string_view relative_path) {
  return std::string(SECONDSOURCE_SOURCE_FOLDER "/").append(relative_path);
}

std::string data_file(std::string_view relative_path) {
  return source_path("tests/data/").append(relative_path);
}

}  // namespace secondsource::test
