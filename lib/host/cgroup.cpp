#include "host/cgroup.h"

#include <fmt/format.h>

namespace secondsource {
namespace {

/// The folder of this process in a controller's cgroup tree, from /proc/self/cgroup. The controller "" selects version
/// 2.
std::string cgroup_path(const HostFiles& files, std::string_view controller) {
  const Result<std::string> text = files.read("proc/self/cgroup");
  if (!text) return "/";
  std::string_view rest = *text;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first != std::string_view::npos && second != std::string_view::npos &&
        line.substr(first + 1, second - first - 1) == controller) {
      return std::string(line.substr(second + 1));
    }
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return "/";
}

}  // namespace

Result<std::string> read_cgroup_file(const HostFiles& files, std::string_view controller, const char* v1_file,
                                     const char* v2_file) {
  // A process sees its own folder, or, in a container, only the root of the mounted tree.
  const std::string v2_path = cgroup_path(files, "");
  for (const std::string& folder : {v2_path, std::string("/")}) {
    if (Result<std::string> text = files.read("sys/fs/cgroup" + folder + "/" + v2_file)) return text;
  }
  const std::string v1_path = cgroup_path(files, controller);
  for (const std::string& folder : {v1_path, std::string("/")}) {
    if (Result<std::string> text = files.read(fmt::format("sys/fs/cgroup/{}{}/{}", controller, folder, v1_file))) {
      return text;
    }
  }
  return Error{ErrorCode::kUnavailable, fmt::format("no cgroup file {} or {}", v2_file, v1_file)};
}

}  // namespace secondsource
