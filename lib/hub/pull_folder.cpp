#include "hub/pull_folder.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <system_error>
#include <utility>
#include <vector>

#include "core/file_lock.h"
#include "core/folder.h"
#include "core/staging.h"

namespace secondsource {
namespace {

constexpr std::string_view kLockFile = "lock";

}  // namespace

Result<PullFolder> PullFolder::open(const std::filesystem::path& target) {
  const std::filesystem::path normal = target.lexically_normal();
  std::filesystem::path path = normal.has_filename() ? normal : normal.parent_path();
  path += ".pull";
  SS_TRY_VOID(create_folder(path));
  const std::filesystem::path lock_path = path / kLockFile;
  SS_TRY(const std::vector<std::filesystem::path> entries, list_folder(path));
  if (!entries.empty() && !path_exists(lock_path)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a folder of an earlier pull of this model, or none; found one with "
                             "{}, which no pull wrote",
                             path.string(), entries.front().filename().string())};
  }
  constexpr mode_t kMode = 0666;
  FileDescriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kMode));
  if (!lock.is_open()) return errno_error(lock_path, "open");
  if (try_lock(lock) == FileLock::kHeldElsewhere) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("{}: another process is pulling into this folder; wait until it has ended", path.string())};
  }
  PullFolder folder(std::move(path), std::move(lock));
  SS_TRY_VOID(create_folder(folder.files()));
  SS_TRY_VOID(create_folder(folder.partials()));
  return folder;
}

Result<void> PullFolder::keep_only(const std::set<std::string>& paths) const {
  SS_TRY(const std::vector<std::filesystem::path> present, list_files_below(files()));
  for (const std::filesystem::path& file : present) {
    if (paths.contains(file.lexically_relative(files()).generic_string())) continue;
    std::error_code error;
    std::filesystem::remove(file, error);
    if (error) return Error{ErrorCode::kIo, fmt::format("{}: cannot remove: {}", file.string(), error.message())};
  }
  return {};
}

Result<void> PullFolder::remove() const {
  return remove_folder_as_a_whole(path_);
}

}  // namespace secondsource
