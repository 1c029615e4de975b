#include "backend_kit/for_each.h"

#include <atomic>
#include <thread>
#include <vector>

#include "support/catch.h"

namespace secondsource {
namespace {

TEST_CASE("a loop on threads of its own calls each index once, and has ended when it returns") {
  for (const std::int64_t n_threads : {1, 2, 7}) {
    for (const std::int64_t n : {0, 1, 2, 1000}) {
      CAPTURE(n_threads, n);
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(n));
      for_each_on_threads(n_threads)(n, [&](std::int64_t i) { ++calls[static_cast<std::size_t>(i)]; });
      for (const std::atomic<int>& one : calls) REQUIRE(one == 1);
    }
  }
}

TEST_CASE("several threads share the calls, and one is enough for one call") {
  // Each call waits for the other one, so that no thread can take both.
  std::atomic<int> n_waiting = 0;
  for_each_on_threads(2)(2, [&](std::int64_t) {
    ++n_waiting;
    while (n_waiting < 2) std::this_thread::yield();
  });
  CHECK(n_waiting == 2);
  std::thread::id caller;
  for_each_on_threads(8)(1, [&](std::int64_t) { caller = std::this_thread::get_id(); });
  CHECK(caller == std::this_thread::get_id());
}

}  // namespace
}  // namespace secondsource
