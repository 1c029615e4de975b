#include "bundle/extraction_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "bundle/manifest.h"
#include "bundle/staged_folder.h"
#include "bundle/zip.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/staging.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

// CACHE/bundles/HASH is an entry and HASH.lock its lock file, whose modification time is the entry's last use. Lock
// files stay when entries are removed: removing a lock file that another process is about to lock would give one entry
// two locks.
constexpr std::string_view kLockSuffix = ".lock";

fs::path entries_folder(const fs::path& cache) {
  return cache / "bundles";
}

/// True for an errno of a file that may be read and not written.
bool may_not_be_written(int error) {
  return error == EROFS || error == EACCES || error == EPERM;
}

/// Opens a lock file for reading where the cache may not be written, which is enough for flock().
Result<FileDescriptor> open_lock(const fs::path& path) {
  FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (lock.is_open()) return lock;
  const int why = errno;
  const Error error = errno_error(path, "create");
  if (!may_not_be_written(why)) return error;
  FileDescriptor read_only(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!read_only.is_open()) return error;
  return read_only;
}

/// Returns false if another process holds a lock that excludes `operation`.
bool try_lock(const FileDescriptor& lock, int operation) {
  return ::flock(lock.get(), operation | LOCK_NB) == 0;
}

/// The folder with the manifest: the entry itself, or the only folder in it (`zip -r bundle.zip bundle/`).
fs::path find_bundle_folder(const fs::path& entry) {
  if (path_exists(entry / kManifestFile)) return entry;
  const auto children = list_folder(entry);
  const bool is_wrapped = children && children->size() == 1 && path_exists(children->front() / kManifestFile);
  return is_wrapped ? children->front() : entry;
}

std::int64_t size_of_folder(const fs::path& folder) {
  std::int64_t total = 0;
  const auto files = list_files_below(folder);
  if (!files) return 0;  // another process is removing it
  for (const fs::path& file : *files) {
    std::error_code vanished;
    const auto size_bytes = fs::file_size(file, vanished);
    if (!vanished) total += static_cast<std::int64_t>(size_bytes);
  }
  return total;
}

std::int64_t last_used_unix_s(const fs::path& lock_path) {
  struct stat status {};
  return ::stat(lock_path.c_str(), &status) == 0 ? status.st_mtim.tv_sec : 0;
}

Result<void> extract_entry(const fs::path& zip, const fs::path& entry, Progress& progress,
                           const InterruptFlag& interrupt, std::int64_t limit_bytes) {
  SS_TRY(const ZipArchive archive, ZipArchive::open(zip, {.max_total_bytes = limit_bytes}));
  SS_TRY(StagedFolder folder, StagedFolder::create(entry));
  SS_TRY_VOID(archive.extract(folder.path(), progress, interrupt));
  return folder.commit();
}

/// Waits until the entry exists and `lock` is held shared, which keeps the entry from being removed.
Result<void> lock_present_entry(const fs::path& zip, const fs::path& entry, const FileDescriptor& lock,
                                Progress& progress, const InterruptFlag& interrupt, std::int64_t limit_bytes) {
  std::error_code error;
  bool is_waiting = false;
  while (true) {
    if (try_lock(lock, LOCK_SH) && fs::is_directory(entry, error)) return {};
    if (try_lock(lock, LOCK_EX)) {
      if (!fs::is_directory(entry, error)) SS_TRY_VOID(extract_entry(zip, entry, progress, interrupt, limit_bytes));
      // Changing from an exclusive to a shared lock is not atomic: a cleaner may remove the entry in between, so check
      // again.
      continue;
    }
    // Some network file systems lock no file that is open for reading alone.
    if (errno != EWOULDBLOCK && errno != EINTR) return errno_error(entry, "lock");
    // The process that holds the lock is extracting or cleaning. Once it has finished we get the lock.
    if (!std::exchange(is_waiting, true)) progress.begin("waiting for another process to extract the zip", 0);
    SS_TRY_VOID(interrupt.check());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

/// The SHA-256 of a file that may be large, with progress.
Result<std::string> hash_of_zip(const fs::path& zip, Progress& progress, const InterruptFlag& interrupt) {
  SS_TRY(InputFile file, InputFile::open(zip));
  std::error_code ignored;
  progress.begin("hashing the zip (MiB)", static_cast<std::int64_t>(fs::file_size(zip, ignored) >> 20));
  Sha256 hash;
  std::vector<std::byte> piece(std::size_t{1} << 20);
  std::int64_t n_pieces = 0;
  while (true) {
    SS_TRY_VOID(interrupt.check());
    SS_TRY(const std::size_t n, file.read(piece));
    if (n == 0) return hash.finish();
    hash.update(std::span<const std::byte>(piece.data(), n));
    progress.update(++n_pieces);
  }
}

}  // namespace

Result<CacheLease> extract_to_cache(const fs::path& zip, Progress& progress, const InterruptFlag& interrupt,
                                    const OpenOptions& options) {
  fs::path cache;
  if (options.cache) {
    cache = *options.cache;
  } else {
    SS_TRY(cache, cache_folder());
  }
  SS_TRY(const std::string hash, hash_of_zip(zip, progress, interrupt));
  const fs::path folder = entries_folder(cache);
  SS_TRY_VOID(create_folder(folder));
  remove_abandoned(folder);
  const fs::path entry = folder / hash;
  const fs::path lock_path = folder / (hash + std::string(kLockSuffix));
  SS_TRY(FileDescriptor lock, open_lock(lock_path));
  SS_TRY_VOID(lock_present_entry(zip, entry, lock, progress, interrupt, options.cache_limit_bytes));
  if (::futimens(lock.get(), nullptr) == 0) {
    SS_TRY_VOID(clean_cache(cache, options.cache_limit_bytes));
  } else if (!may_not_be_written(errno)) {
    return errno_error(lock_path, "touch");
  }
  return CacheLease(std::move(lock), find_bundle_folder(entry));
}

Result<std::vector<CacheEntry>> list_cache(const fs::path& cache) {
  std::vector<CacheEntry> entries;
  const fs::path folder = entries_folder(cache);
  if (!path_exists(folder)) return entries;
  SS_TRY(const std::vector<fs::path> items, list_folder(folder));
  for (const fs::path& item : items) {
    const std::string name = item.filename().string();
    std::error_code vanished;
    if (!is_sha256(name) || !fs::is_directory(item, vanished)) continue;
    const fs::path lock_path = folder / (name + std::string(kLockSuffix));
    SS_TRY(const FileDescriptor lock, open_lock(lock_path));
    entries.push_back({name, size_of_folder(item), last_used_unix_s(lock_path), !try_lock(lock, LOCK_EX)});
  }
  std::sort(entries.begin(), entries.end(), [](const CacheEntry& a, const CacheEntry& b) {
    return std::pair(b.last_used_unix_s, b.hash) < std::pair(a.last_used_unix_s, a.hash);
  });
  return entries;
}

Result<std::vector<CacheEntry>> clean_cache(const fs::path& cache, std::int64_t keep_bytes) {
  SS_TRY(const std::vector<CacheEntry> entries, list_cache(cache));
  std::int64_t total_bytes = 0;
  for (const CacheEntry& entry : entries) total_bytes += entry.size_bytes;
  const fs::path folder = entries_folder(cache);
  remove_abandoned(folder);
  std::vector<CacheEntry> removed;
  for (auto entry = entries.rbegin(); entry != entries.rend() && total_bytes > keep_bytes; ++entry) {
    SS_TRY(const FileDescriptor lock, open_lock(folder / (entry->hash + std::string(kLockSuffix))));
    if (!try_lock(lock, LOCK_EX)) continue;
    // Another cleaner may have removed it between our list and our lock.
    if (!path_exists(folder / entry->hash)) continue;
    SS_TRY_VOID(remove_folder_as_a_whole(folder / entry->hash));
    total_bytes -= entry->size_bytes;
    removed.push_back(*entry);
  }
  return removed;
}

}  // namespace secondsource
