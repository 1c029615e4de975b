#pragma once
// The folder beside a bundle in which its files are collected, OUT.pull: whole files under their names in files/, others in
// partials/. It outlives an interrupted pull, so that the next one goes on, and is removed when the bundle is there.

#include <filesystem>
#include <set>
#include <string>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

class PullFolder {
 public:
  /// Opens or creates it, and locks it as long as this object lives. Errors: kInvalidInput if it is no folder of ours, or
  /// another process works in it; kIo.
  static Result<PullFolder> open(const std::filesystem::path& target);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path files() const { return path_ / "files"; }
  [[nodiscard]] std::filesystem::path partials() const { return path_ / "partials"; }
  /// Removes the whole files that are not among `paths`, which are relative to files(). Errors: kIo.
  Result<void> keep_only(const std::set<std::string>& paths) const;
  /// Removes the folder with all that is in it. Errors: kIo.
  Result<void> remove() const;

 private:
  PullFolder(std::filesystem::path path, FileDescriptor lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::filesystem::path path_;
  FileDescriptor lock_;
};

}  // namespace secondsource
