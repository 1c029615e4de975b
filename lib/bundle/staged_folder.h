#pragma once
// A folder that appears as a whole or not at all: it is filled under another name, renamed when complete, and removed
// otherwise.

#include <filesystem>

#include "core/result.h"

namespace secondsource {

class StagedFolder {
 public:
  /// `target` must not exist or be an empty folder. The remains of an earlier, killed attempt in TARGET.partial are
  /// removed. Errors: kInvalidInput if the target is taken, kIo.
  static Result<StagedFolder> create(const std::filesystem::path& target);
  /// Removes the folder unless commit() succeeded.
  ~StagedFolder();
  StagedFolder(StagedFolder&& other) noexcept;
  StagedFolder& operator=(StagedFolder&&) = delete;

  /// The folder into which the caller writes.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return staging_; }
  /// Renames the folder to its target name. Errors: kIo.
  Result<void> commit();

 private:
  StagedFolder(std::filesystem::path target, std::filesystem::path staging)
      : target_(std::move(target)), staging_(std::move(staging)) {}
  std::filesystem::path target_;
  std::filesystem::path staging_;  ///< empty once committed or moved from
};

}  // namespace secondsource
