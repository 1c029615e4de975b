#include "bundle/staged_folder.h"

#include <fmt/format.h>

#include <system_error>
#include <utility>

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// The path without a trailing slash, so that appending ".partial" gives a sibling and not a child.
fs::path without_slash(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

Error io_error(const fs::path& path, std::string_view action, const std::error_code& error) {
  return Error{ErrorCode::kIo, fmt::format("{}: cannot {}: {}", path.string(), action, error.message())};
}

}  // namespace

Result<StagedFolder> StagedFolder::create(const fs::path& target_path) {
  const fs::path target = without_slash(target_path);
  std::error_code error;
  if (fs::exists(fs::symlink_status(target, error)) &&
      !(fs::is_directory(target, error) && fs::is_empty(target, error))) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a name that is free, found it taken", target.string())};
  }
  fs::path staging = target;
  staging += ".partial";
  fs::remove_all(staging, error);
  if (error) return io_error(staging, "remove", error);
  fs::create_directories(staging, error);
  if (error) return io_error(staging, "create", error);
  return StagedFolder(target, std::move(staging));
}

StagedFolder::~StagedFolder() {
  if (staging_.empty()) return;
  std::error_code ignored;
  fs::remove_all(staging_, ignored);
}

StagedFolder::StagedFolder(StagedFolder&& other) noexcept
    : target_(std::move(other.target_)), staging_(std::exchange(other.staging_, {})) {}

Result<void> StagedFolder::commit() {
  std::error_code error;
  fs::rename(staging_, target_, error);  // replaces at most an empty folder
  if (error) return io_error(target_, "rename into place", error);
  staging_.clear();
  return {};
}

}  // namespace secondsource
