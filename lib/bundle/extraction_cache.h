#pragma once
// Zips are extracted once, into CACHE/bundles/<SHA-256 of the zip>/. Several processes may use the cache at once: an
// entry appears as a whole and is not removed while a process uses it. When the cache exceeds its limit, the least
// recently used entries are removed.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "core/file.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// Marks one entry as in use: while this object lives, no process removes the entry.
class CacheLease {
 public:
  /// The folder with the manifest: the extracted folder, or the only folder in it.
  [[nodiscard]] const std::filesystem::path& bundle_folder() const noexcept { return bundle_folder_; }

 private:
  friend Result<CacheLease> extract_to_cache(const std::filesystem::path&, Progress&, const InterruptFlag&,
                                             const OpenOptions&);
  CacheLease(FileDescriptor lock, std::filesystem::path bundle_folder)
      : lock_(std::move(lock)), bundle_folder_(std::move(bundle_folder)) {}
  FileDescriptor lock_;
  std::filesystem::path bundle_folder_;
};

/// Returns the extracted copy of a zip and extracts it first if necessary. Waits for another process that is extracting
/// the same zip. Errors: kInvalidInput, kIo, kInterrupted.
Result<CacheLease> extract_to_cache(const std::filesystem::path& zip, Progress& progress,
                                    const InterruptFlag& interrupt, const OpenOptions& options);

struct CacheEntry {
  std::string hash;  ///< SHA-256 of the zip
  std::int64_t size_bytes = 0;
  std::int64_t last_used_unix_s = 0;
  bool in_use = false;  ///< a process is using it at this moment
};

/// The entries under `cache`, most recently used first. Errors: kIo.
Result<std::vector<CacheEntry>> list_cache(const std::filesystem::path& cache);

/// Removes unused entries, least recently used first, until at most `keep_bytes` are left, and the remains of killed
/// extractions. Returns the removed entries. Errors: kIo.
Result<std::vector<CacheEntry>> clean_cache(const std::filesystem::path& cache, std::int64_t keep_bytes);

}  // namespace secondsource
