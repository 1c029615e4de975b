#include "cpu/thread_pool.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "support/catch.h"

namespace secondsource::cpu {
namespace {

TEST_CASE("every chunk runs exactly once, whatever the number of threads and chunks") {
  for (const int n_threads : {1, 2, 3, 8}) {
    ThreadPool pool({.n_threads = n_threads, .cpus = {}});
    for (const std::int64_t n_chunks : {0, 1, 2, 7, 1000}) {
      CAPTURE(n_threads, n_chunks);
      std::vector<std::atomic<int>> counts(static_cast<std::size_t>(n_chunks));
      std::atomic<bool> in_range{true};
      pool.run(n_chunks, [&](std::int64_t chunk, int thread) {
        if (thread < 0 || thread >= n_threads) in_range.store(false);
        counts[static_cast<std::size_t>(chunk)].fetch_add(1);
      });
      for (const std::atomic<int>& count : counts) CHECK(count.load() == 1);
      CHECK(in_range.load());
    }
  }
}

TEST_CASE("what a loop wrote is seen after it, over many short loops") {
  ThreadPool pool({.n_threads = 4, .cpus = {}});
  std::vector<std::int64_t> values(64);
  for (std::int64_t round = 1; round <= 2000; ++round) {
    pool.run(64, [&](std::int64_t chunk, int) { values[static_cast<std::size_t>(chunk)] += chunk; });
  }
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(values[i] == 2000 * static_cast<std::int64_t>(i));
}

TEST_CASE("threads that went to sleep between loops wake up") {
  ThreadPool pool({.n_threads = 3, .cpus = {}});
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> n{0};
    pool.run(30, [&](std::int64_t, int) { n.fetch_add(1); });
    CHECK(n.load() == 30);
  }
}

TEST_CASE("a slow chunk holds up one thread only") {
  ThreadPool pool({.n_threads = 2, .cpus = {}});
  std::atomic<int> n_done{0};
  std::atomic<bool> others_went_on{false};
  pool.run(40, [&](std::int64_t chunk, int) {
    if (chunk == 0) {
      // Ends when the other thread has done all the rest, or gives up after ten seconds.
      for (int i = 0; i < 10000 && n_done.load() < 39; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      others_went_on.store(n_done.load() == 39);
      return;
    }
    n_done.fetch_add(1);
  });
  CHECK(others_went_on.load());
}

TEST_CASE("a CPU that is not there leaves the thread unpinned and says so") {
  ThreadPool pool({.n_threads = 1, .cpus = {1023}});
  pool.run(1, [](std::int64_t, int) {});
  CHECK_FALSE(pool.pinned());
}

}  // namespace
}  // namespace secondsource::cpu
