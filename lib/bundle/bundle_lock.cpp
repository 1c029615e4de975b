#include "bundle/bundle_lock.h"

#include <fcntl.h>

#include <utility>

#include "core/file_lock.h"

namespace secondsource {

// Locks the folder itself, because a separate lock file would lie in the bundle without being listed in its manifest.
Result<FileDescriptor> lock_bundle(const std::filesystem::path& folder, Progress& progress,
                                   const InterruptFlag& interrupt) {
  FileDescriptor lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.is_open()) return errno_error(folder, "open");
  if (try_lock(lock) == FileLock::kHeldElsewhere) {
    progress.begin("waiting for another process to change the bundle", 0);
    SS_TRY_VOID(wait_for_lock(lock, folder, interrupt));
  }
  return lock;
}

}  // namespace secondsource
