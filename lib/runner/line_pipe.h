#pragma once
// The channel from a child process to its parent: lines that no other output can interrupt.

#include <mutex>
#include <string>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

/// Takes over standard output, and redirects further writes to it to standard error, so that output of a library cannot
/// get between the lines. Several threads may send.
class LinePipe {
 public:
  LinePipe();
  /// Errors: kIo when the parent does not listen any more.
  Result<void> send(std::string line);

 private:
  FileDescriptor pipe_;
  std::mutex mutex_;
};

}  // namespace secondsource
