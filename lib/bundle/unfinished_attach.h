#pragma once
// Records what `bundle attach` changes in a bundle's folder while it works, so that an attach that was killed and is
// given again, also with other outputs, leaves no file that the manifest does not list.

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "bundle/manifest.h"
#include "core/result.h"

namespace secondsource {

/// The record's file in the bundle's folder: a line for each file, with its SHA-256 and its path as `sha256sum` writes
/// them. It is there only while an attach works, and after one that was killed.
inline constexpr std::string_view kUnfinishedAttachFile = "unfinished-attach.txt";

class UnfinishedAttach {
 public:
  /// Reads the record of a killed attach; without one, the record is empty. Errors: kInvalidInput for a line that no
  /// attach wrote, kIo.
  static Result<UnfinishedAttach> read(const std::filesystem::path& folder);

  /// Adds a prompt or an output that the manifest listed and will not, or that is about to be written.
  void add(const ManifestFile& file) { files_.emplace(file.path, file.sha256); }
  /// Writes the record, before the first change that it describes. Errors: kInvalidInput, kIo.
  Result<void> write() const;
  /// Removes what is left over now that `manifest` is the bundle's, and then the record. A file is removed only if an
  /// attach recorded it, the manifest does not list it, and it still has the recorded content: whatever else somebody
  /// put below prompts and expected stays. Errors: kIo.
  Result<void> finish(const Manifest& manifest) const;

 private:
  explicit UnfinishedAttach(std::filesystem::path folder) : folder_(std::move(folder)) {}
  [[nodiscard]] std::filesystem::path file() const { return folder_ / kUnfinishedAttachFile; }

  std::filesystem::path folder_;
  std::set<std::pair<std::string, std::string>> files_;  ///< path and SHA-256
};

}  // namespace secondsource
