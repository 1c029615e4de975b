#include "host/host_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/file.h"
#include "core/folder.h"

namespace secondsource {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  const auto last = text.find_last_not_of(" \t\r\n");
  return text.substr(first, last - first + 1);
}

}  // namespace

Result<std::string> HostFiles::read(const std::filesystem::path& path) const {
  const std::filesystem::path full = root_ / path;
  const FileDescriptor descriptor(::open(full.c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor.is_open()) {
    return Error{ErrorCode::kUnavailable, fmt::format("/{}: {}", path.string(), std::strerror(errno))};
  }
  std::string content;
  char buffer[8192];
  while (content.size() < kMostBytes) {
    const ssize_t n_read = ::read(descriptor.get(), buffer, std::min(sizeof buffer, kMostBytes - content.size()));
    if (n_read < 0 && errno == EINTR) continue;
    if (n_read < 0) {
      return Error{ErrorCode::kUnavailable, fmt::format("/{}: {}", path.string(), std::strerror(errno))};
    }
    if (n_read == 0) break;
    content.append(buffer, static_cast<std::size_t>(n_read));
  }
  content.erase(content.find_last_not_of(" \t\r\n") + 1);
  return content;
}

std::vector<std::string> HostFiles::list(const std::filesystem::path& path) const {
  std::vector<std::string> names;
  const auto entries = list_folder(root_ / path);
  if (!entries) return names;
  for (const std::filesystem::path& entry : *entries) names.push_back(entry.filename().string());
  return names;
}

std::string_view value_of_line(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && trimmed(line.substr(0, colon)) == key)
      return trimmed(line.substr(colon + 1));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace secondsource
