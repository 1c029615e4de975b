#pragma once
// The way of a child process to its parent: lines that nothing else can get between.

#include <mutex>
#include <string>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

/// Takes over standard output, which from then on is standard error for everyone else: what a library prints does not
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
