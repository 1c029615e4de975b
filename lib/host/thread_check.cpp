#include "host/thread_check.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <latch>
#include <vector>

namespace secondsource {
namespace {

/// True if there is address space for the stack of another thread. pthread_create() returns EAGAIN in both cases.
bool has_space_for_stack() {
  pthread_attr_t attributes;
  std::size_t n_bytes = 0;
  if (::pthread_attr_init(&attributes) != 0) return false;
  (void)::pthread_attr_getstacksize(&attributes, &n_bytes);
  ::pthread_attr_destroy(&attributes);
  void* const space =
      ::mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED) return false;
  ::munmap(space, n_bytes);
  return true;
}

}  // namespace

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
  const bool lacks_memory = refused != 0 && !has_space_for_stack();
  go.count_down();
  for (const pthread_t thread : threads) ::pthread_join(thread, nullptr);
  if (refused == 0) return {};
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("a run needs {} threads at once, and the system refuses all after {}: {} ({}); --threads asks "
                  "for fewer",
                  n_threads, threads.size(), std::strerror(lacks_memory ? ENOMEM : refused),
                  lacks_memory ? "no address space for another stack: ulimit -v"
                               : "ulimit -u, or the limit of a container on processes")};
}

}  // namespace secondsource
