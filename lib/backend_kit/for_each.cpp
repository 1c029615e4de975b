#include "backend_kit/for_each.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace secondsource {

ForEach for_each_on_threads(std::int64_t n_threads) {
  return [n_threads](std::int64_t n, const std::function<void(std::int64_t)>& body) {
    std::atomic<std::int64_t> next = 0;
    const auto work = [&] {
      for (std::int64_t i = next++; i < n; i = next++) body(i);
    };
    std::vector<std::jthread> others;
    try {
      for (std::int64_t i = 1; i < std::min(n, n_threads); ++i) others.emplace_back(work);
    } catch (const std::system_error&) {
      // The system refused to start another thread. The threads that have started make all of the calls.
    }
    work();
  };
}

}  // namespace secondsource
