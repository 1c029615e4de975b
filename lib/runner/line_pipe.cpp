#include "runner/line_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace secondsource {

LinePipe::LinePipe() : pipe_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)) {
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
}

Result<void> LinePipe::send(std::string line) {
  line += '\n';
  const std::lock_guard lock(mutex_);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t n_written = ::write(pipe_.get(), rest.data(), rest.size());
    if (n_written < 0 && errno == EINTR) continue;
    if (n_written < 0) return Error{ErrorCode::kIo, "worker: the run does not listen any more"};
    rest.remove_prefix(static_cast<std::size_t>(n_written));
  }
  return {};
}

}  // namespace secondsource
