#pragma once
// Locks a file or a folder against other processes (flock). A lock lasts as long as its descriptor is open, and ends with
// its process, so that nothing is left of a process that was killed.

#include <cstdint>
#include <filesystem>

#include "core/file.h"
#include "core/interrupt.h"
#include "core/result.h"

namespace secondsource {

enum class FileLock : std::uint8_t {
  kTaken,
  kHeldElsewhere,
  kNotPossible,  ///< some network file systems have no locks; errno says why
};

/// Takes the lock unless another process holds it. Does not wait.
FileLock try_lock(const FileDescriptor& descriptor);

/// Takes the lock, and waits while another process holds it. `path` is for messages. Errors: kInterrupted while it
/// waits; kIo.
Result<void> wait_for_lock(const FileDescriptor& descriptor, const std::filesystem::path& path,
                           const InterruptFlag& interrupt);

}  // namespace secondsource
