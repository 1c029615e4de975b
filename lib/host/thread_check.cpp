#include "host/thread_check.h"

#include <fmt/format.h>
#include <pthread.h>

#include <cstring>
#include <latch>
#include <vector>

namespace secondsource {

Result<void> check_threads_can_start(std::int32_t n_threads) {
  std::latch go(1);
  const auto wait = [](void* latch) -> void* {
    static_cast<std::latch*>(latch)->wait();
    return nullptr;
  };
  std::vector<pthread_t> threads;
  threads.reserve(static_cast<std::size_t>(n_threads));
  int refused = 0;
  while (refused == 0 && static_cast<std::int32_t>(threads.size()) < n_threads) {
    pthread_t thread{};
    // std::thread would throw instead of returning the reason.
    refused = ::pthread_create(&thread, nullptr, wait, &go);
    if (refused == 0) threads.push_back(thread);
  }
  go.count_down();
  for (const pthread_t thread : threads) ::pthread_join(thread, nullptr);
  if (refused == 0) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("a run needs {} threads at once, and the system refuses all after {}: {} (ulimit -u, or the "
                           "limit of a container on processes); --threads asks for fewer",
                           n_threads, threads.size(), std::strerror(refused))};
}

}  // namespace secondsource
