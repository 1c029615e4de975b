#pragma once
// A folder that appears as a whole or not at all: it is filled under another name (core/staging.h), renamed when
// complete, and removed otherwise.

#include <filesystem>

#include "core/result.h"
#include "core/staging.h"

namespace secondsource {

class StagedFolder {
 public:
  /// `target` must not exist or be an empty folder; folders above it that are missing are created. The remains of
  /// earlier, killed attempts are removed. Errors: kInvalidInput if the target is taken or impossible, kIo.
  static Result<StagedFolder> create(const std::filesystem::path& target);
  /// Removes the folder unless commit() succeeded.
  ~StagedFolder();
  StagedFolder(StagedFolder&&) noexcept = default;
  StagedFolder& operator=(StagedFolder&&) = delete;

  /// The folder into which the caller writes.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return staged_.path; }
  /// Renames the folder to its target name. Errors: kInvalidInput if the name was taken meanwhile, kIo.
  Result<void> commit();

 private:
  StagedFolder(std::filesystem::path target, StagedEntry staged)
      : target_(std::move(target)), staged_(std::move(staged)) {}
  std::filesystem::path target_;
  StagedEntry staged_;  ///< its descriptor is closed once committed or moved from
};

}  // namespace secondsource
