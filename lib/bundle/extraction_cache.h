#pragma once
// Zips are extracted once, into CACHE/bundles/<SHA-256 of the zip>/. Safe with several processes: an entry appears
// whole, and is not removed while someone uses it. The least recently used go when the limit is passed.

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

/// The use of one entry: while it lives, no process removes the entry.
class CacheLease {
 public:
  /// The extracted folder, or the one folder in it when that has the manifest.
  [[nodiscard]] const std::filesystem::path& bundle_folder() const noexcept { return bundle_folder_; }

 private:
  friend Result<CacheLease> extract_to_cache(const std::filesystem::path&, Progress&, const InterruptFlag&,
                                             const OpenOptions&);
  CacheLease(FileDescriptor lock, std::filesystem::path bundle_folder)
      : lock_(std::move(lock)), bundle_folder_(std::move(bundle_folder)) {}
  FileDescriptor lock_;
  std::filesystem::path bundle_folder_;
};

/// The extracted copy of a zip, extracting it first where it is not there. Waits for another process that is at it.
/// Errors: kInvalidInput, kIo, kInterrupted.
Result<CacheLease> extract_to_cache(const std::filesystem::path& zip, Progress& progress,
                                    const InterruptFlag& interrupt, const OpenOptions& options);

struct CacheEntry {
  std::string hash;  ///< SHA-256 of the zip
  std::int64_t size_bytes = 0;
  std::int64_t last_used_unix_s = 0;
  bool in_use = false;  ///< by a process, right now
};

/// The entries under `cache`, most recently used first. Errors: kIo.
Result<std::vector<CacheEntry>> list_cache(const std::filesystem::path& cache);

/// Removes what no process uses, least recently used first, until at most `keep_bytes` are left, and the remains of
/// killed extractions. Returns what was removed. Errors: kIo.
Result<std::vector<CacheEntry>> clean_cache(const std::filesystem::path& cache, std::int64_t keep_bytes);

}  // namespace secondsource
