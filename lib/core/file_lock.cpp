#include "core/file_lock.h"

#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace secondsource {

FileLock try_lock(const FileDescriptor& descriptor) {
  int result = 0;
  do {
    result = ::flock(descriptor.get(), LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return FileLock::kTaken;
  return errno == EWOULDBLOCK ? FileLock::kHeldElsewhere : FileLock::kNotPossible;
}

Result<void> wait_for_lock(const FileDescriptor& descriptor, const std::filesystem::path& path,
                           const InterruptFlag& interrupt) {
  while (true) {
    const FileLock lock = try_lock(descriptor);
    if (lock == FileLock::kTaken) return {};
    if (lock == FileLock::kNotPossible) return errno_error(path, "lock");
    SS_TRY_VOID(interrupt.check());
    std::this_thread::sleep_for(std::chrono::nanoseconds(kInterruptPeriodNs));
  }
}

}  // namespace secondsource
