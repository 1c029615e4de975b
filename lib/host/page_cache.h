#pragma once
// How much of a file is in the kernel's page cache, and how to make the kernel drop it. A load only counts as "from
// disk" if the cache was seen to be empty.

#include <cstdint>
#include <filesystem>

#include "core/result.h"

namespace secondsource {

struct FileCache {
  std::int64_t bytes = 0;         ///< of the file
  std::int64_t cached_bytes = 0;  ///< in pages that the cache holds, by mincore(2)
};

/// mincore(2) reports the truth only to the file's owner and to those who may write the file; to others, every page
/// appears cached. Errors: kIo.
Result<FileCache> file_cache(const std::filesystem::path& file);

/// Writes dirty pages back and asks the kernel to drop the file's pages (posix_fadvise, POSIX_FADV_DONTNEED). Pages that a
/// process has mapped stay, and so does everything on a file system that lives in memory: file_cache() tells. Errors: kIo.
Result<void> drop_file_cache(const std::filesystem::path& file);

}  // namespace secondsource
