#include "core/shared_lines.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "core/file.h"
#include "core/folder.h"

namespace secondsource {

Result<void> append_shared_line(const std::filesystem::path& path, std::string_view line) {
  SS_TRY_VOID(create_folder(folder_of(path)));
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644));
  const std::string text = fmt::format("\n{}", line);
  if (!file.is_open() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return Error{ErrorCode::kIo, fmt::format("{}: cannot write: {}", path.string(), std::strerror(errno))};
  }
  return {};
}

}  // namespace secondsource
