#pragma once
// A folder that appears whole or not at all: filled under another name, renamed when complete, removed otherwise.

#include <filesystem>

#include "core/result.h"

namespace secondsource {

class StagedFolder {
 public:
  /// `target` must not exist, or be an empty folder. What an earlier, killed attempt left in TARGET.partial is removed.
  /// Errors: kInvalidInput when the target is taken, kIo.
  static Result<StagedFolder> create(const std::filesystem::path& target);
  /// Removes the folder unless commit() succeeded.
  ~StagedFolder();
  StagedFolder(StagedFolder&& other) noexcept;
  StagedFolder& operator=(StagedFolder&&) = delete;

  /// Where to write.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return staging_; }
  /// Gives the folder its name. Errors: kIo.
  Result<void> commit();

 private:
  StagedFolder(std::filesystem::path target, std::filesystem::path staging)
      : target_(std::move(target)), staging_(std::move(staging)) {}
  std::filesystem::path target_;
  std::filesystem::path staging_;  ///< empty once committed or moved from
};

}  // namespace secondsource
