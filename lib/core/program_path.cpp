#include "core/program_path.h"

#include <system_error>

namespace secondsource {

std::filesystem::path path_of_this_program(const char* argv0) {
  std::error_code failed;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? std::filesystem::absolute(argv0) : path;
}

}  // namespace secondsource
