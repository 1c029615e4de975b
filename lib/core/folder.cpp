#include "core/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include "core/file.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

Error folder_error(const fs::path& folder, std::string_view action, const std::error_code& why) {
  const ErrorCode code = is_fault_of_path(why.value()) ? ErrorCode::kInvalidInput : ErrorCode::kIo;
  return Error{code, fmt::format("{}: cannot {}: {}", folder.string(), action, why.message())};
}

struct CloseFolder {
  void operator()(DIR* stream) const { ::closedir(stream); }
};

/// Calls visit(entry) for all entries but "." and ".."; returns errno, 0 at the end. The iterators of libstdc++ end the
/// process when they get no memory.
template <typename Visit>
int visit_entries(const fs::path& folder, const Visit& visit) {
  const std::unique_ptr<DIR, CloseFolder> stream(::opendir(folder.c_str()));
  if (!stream) return errno;
  while (true) {
    errno = 0;
    const dirent* const entry = ::readdir(stream.get());
    if (entry == nullptr) return errno;
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) visit(*entry);
  }
}

}  // namespace

Result<void> create_folder(const fs::path& folder) {
  std::error_code why;
  fs::create_directories(folder, why);
  // Some versions of the library report no error for a name that a file has.
  if (!why && !fs::is_directory(folder, why) && !why) why = std::make_error_code(std::errc::not_a_directory);
  if (why) return folder_error(folder, "create", why);
  return {};
}

Result<std::vector<fs::path>> list_folder(const fs::path& folder) {
  std::vector<fs::path> entries;
  const int failed = visit_entries(folder, [&](const dirent& entry) { entries.push_back(folder / entry.d_name); });
  if (failed != 0) return folder_error(folder, "list", {failed, std::generic_category()});
  std::sort(entries.begin(), entries.end());
  return entries;
}

Result<std::vector<fs::path>> list_files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::vector<fs::path> waiting = {folder};
  while (!waiting.empty()) {
    const fs::path next = std::move(waiting.back());
    waiting.pop_back();
    const int failed = visit_entries(next, [&](const dirent& entry) {
      const fs::path path = next / entry.d_name;
      struct stat status {};
      if (::lstat(path.c_str(), &status) == 0) (S_ISDIR(status.st_mode) ? waiting : files).push_back(path);
    });
    const bool is_gone = failed == ENOENT || failed == ENOTDIR;
    if (failed != 0 && (next == folder || !is_gone)) {
      return folder_error(next, "list", {failed, std::generic_category()});
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

Result<void> flush_folder(const fs::path& folder) {
  const FileDescriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor.is_open()) {
    if (is_fault_of_path(errno)) return {};  // a folder may be writable without being readable
    return folder_error(folder, "open", {errno, std::generic_category()});
  }
  if (::fsync(descriptor.get()) == 0 || errno == EINVAL || errno == ENOTSUP) return {};
  return folder_error(folder, "flush", {errno, std::generic_category()});
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

bool path_exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

}  // namespace secondsource
