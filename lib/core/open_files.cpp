#include "core/open_files.h"

#include <fmt/format.h>
#include <sys/resource.h>

namespace secondsource {

void allow_most_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<void> allow_open_files(std::int64_t n_files) {
  allow_most_open_files();
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= static_cast<rlim_t>(n_files)) return {};
  return Error{ErrorCode::kUnsupported,
               fmt::format("expected that a process may open {} files, found a limit of {} (ulimit -Hn)", n_files,
                           limit.rlim_cur)};
}

}  // namespace secondsource
