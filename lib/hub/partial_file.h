#pragma once
// A file that grows over several attempts and processes, under a temporary name that is made of its content's hash. What
// an earlier process left there is the beginning of the same content, or its hash will show that it is not.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/file.h"
#include "core/interrupt.h"
#include "core/result.h"
#include "hub/listing.h"

namespace secondsource {

class PartialFile {
 public:
  /// Opens or creates `folder`/HASH.partial. One that is longer than `file` is emptied. Errors: kInvalidInput, kIo.
  static Result<PartialFile> open(const std::filesystem::path& folder, const HubFile& file);

  [[nodiscard]] std::int64_t size_bytes() const { return n_bytes_; }
  Result<void> append(std::string_view bytes);
  /// Drops the content.
  Result<void> restart();
  /// The hash of the content, of the same kind as the file's hash in the listing, after the content was flushed to the
  /// disk.
  Result<std::string> hash();
  /// Renames the file to `path`; missing folders above it are created. Errors: kInvalidInput, kIo.
  Result<void> rename_to(const std::filesystem::path& path);
  /// Removes it.
  void remove();

 private:
  PartialFile(FileDescriptor descriptor, std::filesystem::path path, bool is_lfs, std::int64_t n_bytes)
      : descriptor_(std::move(descriptor)), path_(std::move(path)), is_lfs_(is_lfs), n_bytes_(n_bytes) {}
  FileDescriptor descriptor_;
  std::filesystem::path path_;
  bool is_lfs_;
  std::int64_t n_bytes_;
};

/// The hash of a file's content, of the same kind as the hash of `file`. Errors: kIo.
Result<std::string> hash_like(const HubFile& file, const std::filesystem::path& path);

}  // namespace secondsource
