#include "bundle/staged_folder.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "core/folder.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// The path without a trailing slash, so that its last part is the folder's name.
fs::path without_slash(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

Error taken(const fs::path& target) {
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected a new or an empty folder, found something there already", target.string())};
}

}  // namespace

Result<StagedFolder> StagedFolder::create(const fs::path& target_path) {
  const fs::path target = without_slash(target_path);
  std::error_code error;
  if (fs::exists(fs::symlink_status(target, error)) &&
      !(fs::is_directory(target, error) && fs::is_empty(target, error))) {
    return taken(target);
  }
  SS_TRY_VOID(create_folder(folder_of(target)));
  SS_TRY(StagedEntry staged, stage_folder(target));
  return StagedFolder(target, std::move(staged));
}

StagedFolder::~StagedFolder() {
  if (staged_.descriptor.is_open()) discard(staged_.path);
}

Result<void> StagedFolder::commit() {
  SS_TRY_VOID(flush_folder(staged_.path));
  if (::rename(staged_.path.c_str(), target_.c_str()) != 0) {  // replaces at most an empty folder
    if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR) return taken(target_);
    return Error{ErrorCode::kIo,
                 fmt::format("{}: cannot rename into place: {}", target_.string(), std::strerror(errno))};
  }
  SS_TRY_VOID(staged_.descriptor.close(target_));
  return flush_folder(folder_of(target_));
}

}  // namespace secondsource
