#pragma once
// Reads zip archives from untrusted sources: the whole directory is checked before any byte is extracted.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/zip_directory.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

struct ZipEntry {
  std::string path;  ///< as check_relative_path requires; a folder's path has no trailing slash
  std::int64_t size_bytes = 0;
  std::int64_t compressed_bytes = 0;
  bool is_folder = false;
};

struct ZipLimits {
  std::size_t max_entries = 10'000;
  /// Files and folders, with the folders that only occur in paths.
  std::size_t max_names = 20'000;
  std::int64_t max_total_bytes = std::int64_t{1} << 40;
  /// Limit on the uncompressed size / the compressed size of all entries together, applied above 64 MiB. Text
  /// compresses to about a tenth, weights hardly at all, and a zip bomb to a thousandth.
  std::int64_t max_ratio = 200;
};

class ZipArchive {
 public:
  /// Opens an archive. Refuses inconsistencies (directory against local headers, more compressed bytes than the file
  /// has), encryption, several disks, compression other than stored and deflate, symbolic links and special files,
  /// names that are not UTF-8 or not paths inside a folder, duplicate names (also if they differ only in case, or as
  /// file and folder), and sizes beyond the limits. Errors: kInvalidInput, kIo.
  static Result<ZipArchive> open(const std::filesystem::path& path, ZipLimits limits = {});
  /// Opens an archive in memory, whose bytes must outlive this object. Error messages begin with `name`.
  static Result<ZipArchive> open_bytes(std::span<const std::byte> bytes, std::string_view name, ZipLimits limits = {});

  ZipArchive(ZipArchive&&) noexcept;
  ZipArchive& operator=(ZipArchive&&) noexcept;
  ~ZipArchive();

  /// All entries, in the order of the archive.
  [[nodiscard]] const std::vector<ZipEntry>& entries() const noexcept { return entries_; }
  [[nodiscard]] std::int64_t total_bytes() const noexcept;

  /// Writes all entries under `folder`, which must exist and be empty, each directly under its own name. Each entry must
  /// have exactly its announced size and checksum. When it returns, all are on the disk. Errors: kInvalidInput, kIo,
  /// kInterrupted.
  Result<void> extract(const std::filesystem::path& folder, Progress& progress, const InterruptFlag& interrupt) const;
  /// Reads all entries and checks their sizes and checksums. Errors: as extract().
  Result<void> check_contents(Progress& progress, const InterruptFlag& interrupt) const;

 private:
  struct Handle;
  ZipArchive(std::unique_ptr<Handle> handle, std::string name);
  Result<void> read_directory(std::int64_t archive_bytes, ZipLimits limits, const ReadBytes& read);
  /// Reads one entry to its end, piece by piece, into the buffer `piece`, and passes each piece to `sink`.
  template <typename Sink>
  Result<void> read_entry(std::size_t index, std::span<std::byte> piece, Sink&& sink) const;
  /// The size of a buffer for reading entries.
  [[nodiscard]] std::size_t piece_bytes() const noexcept;
  template <typename Visit>
  Result<void> for_each_file(Progress& progress, const InterruptFlag& interrupt, std::string_view task,
                             Visit&& visit) const;

  std::unique_ptr<Handle> handle_;
  std::string name_;
  std::vector<ZipEntry> entries_;
};

}  // namespace secondsource
