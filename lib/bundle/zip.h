#pragma once
// Zip archives from people that we do not know: the whole directory is checked before a byte is extracted.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

struct ZipEntry {
  std::string path;  ///< as check_relative_path wants it; a folder without its slash
  std::int64_t size_bytes = 0;
  std::int64_t compressed_bytes = 0;
  bool is_folder = false;
};

struct ZipLimits {
  std::size_t max_entries = 10'000;
  std::int64_t max_total_bytes = std::int64_t{1} << 40;
  /// Of all entries together, once they are larger than 64 MiB. Text compresses to a tenth, weights hardly at all; a
  /// bomb to a thousandth.
  std::int64_t max_ratio = 200;
};

class ZipArchive {
 public:
  /// Refused: what is inconsistent (directory against local headers, more compressed bytes than the file has),
  /// encryption, several disks, compression other than stored and deflate, symbolic links and special files, names
  /// that are no path inside a folder or not UTF-8, a name twice (also by upper and lower case, or as file and
  /// folder), sizes beyond the limits. Errors: kInvalidInput, kIo.
  static Result<ZipArchive> open(const std::filesystem::path& path, ZipLimits limits = {});
  /// The same of an archive in memory, which must outlive this object; `name` stands first in errors.
  static Result<ZipArchive> open_bytes(std::span<const std::byte> bytes, std::string_view name, ZipLimits limits = {});

  ZipArchive(ZipArchive&&) noexcept;
  ZipArchive& operator=(ZipArchive&&) noexcept;
  ~ZipArchive();

  /// In the order of the archive.
  [[nodiscard]] const std::vector<ZipEntry>& entries() const noexcept { return entries_; }
  [[nodiscard]] std::int64_t total_bytes() const noexcept;

  /// Writes all entries under `folder`, which exists and is empty. An entry must give exactly its announced bytes and
  /// checksum. Errors: kInvalidInput, kIo, kInterrupted.
  Result<void> extract(const std::filesystem::path& folder, Progress& progress, const InterruptFlag& interrupt) const;
  /// Reads all entries and checks their sizes and checksums. Errors: as extract().
  Result<void> check_contents(Progress& progress, const InterruptFlag& interrupt) const;

 private:
  struct Handle;
  ZipArchive(std::unique_ptr<Handle> handle, std::string name);
  Result<void> read_directory(std::int64_t archive_bytes, ZipLimits limits);
  /// Reads one entry to its end, giving its pieces to `sink`.
  template <typename Sink>
  Result<void> read_entry(std::size_t index, Sink&& sink) const;
  template <typename Visit>
  Result<void> for_each_file(Progress& progress, const InterruptFlag& interrupt, std::string_view task,
                             Visit&& visit) const;

  std::unique_ptr<Handle> handle_;
  std::string name_;
  std::vector<ZipEntry> entries_;
};

}  // namespace secondsource
