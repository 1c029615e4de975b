#pragma once
// Writes the files of a bundle into a folder and keeps the list of them for the manifest.

#include <filesystem>
#include <string>
#include <string_view>

#include "bundle/manifest.h"
#include "bundle/safetensors_writer.h"
#include "core/file.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

class BundleWriter {
 public:
  /// `folder` must exist. `progress` and `interrupt` must outlive the writer.
  BundleWriter(std::filesystem::path folder, Progress& progress, const InterruptFlag& interrupt)
      : folder_(std::move(folder)), progress_(&progress), interrupt_(&interrupt) {}

  /// Writes a text file. Errors: kIo.
  Result<void> add_text(const std::string& path, std::string_view text);
  /// Copies and hashes a file, reporting progress in MiB. Errors: kInvalidInput, kIo, kInterrupted.
  Result<void> add_copy(const std::string& path, const std::filesystem::path& source);
  /// Gives the file another name in the bundle (a hard link) and hashes it; where the file system has no such links, a
  /// copy is made. For a source whose own name is about to be removed. Errors: as add_copy().
  Result<void> add_link(const std::string& path, const std::filesystem::path& source);
  /// Creates the folder of `path` and returns where the caller writes the file, which it then reports with
  /// add_written().
  Result<std::filesystem::path> place_for(const std::string& path);
  void add_written(const std::string& path, const WrittenFile& written);

  /// Writes manifest.yaml from `manifest` and the list of added files. Errors: kInvalidInput, kIo.
  Result<void> finish(Manifest manifest);

 private:
  Result<void> add_hashed(const std::string& path, const std::filesystem::path& source, OutputFile* copy);

  std::filesystem::path folder_;
  Progress* progress_;
  const InterruptFlag* interrupt_;
  std::vector<ManifestFile> files_;
};

}  // namespace secondsource
