#include "cpu/thread_pool.h"

#include <sched.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "support/catch.h"

namespace secondsource::cpu {
namespace {

TEST_CASE("every chunk runs exactly once, whatever the number of threads and chunks") {
  for (const int n_threads : {1, 2, 3, 8, 9, 20}) {
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

TEST_CASE("every item is in exactly one slice, and no slice is too long") {
  for (const int n_threads : {1, 2, 3, 8, 17}) {
    ThreadPool pool({.n_threads = n_threads, .cpus = {}});
    for (const std::int64_t n_items : {0, 1, 5, 64, 1000}) {
      for (const std::int64_t piece : {1, 3, 7, 2000}) {
        CAPTURE(n_threads, n_items, piece);
        std::vector<std::atomic<int>> counts(static_cast<std::size_t>(n_items));
        std::atomic<std::int64_t> longest{0};
        pool.run_ranges(n_items, piece, [&](std::int64_t first, std::int64_t end, int) {
          for (std::int64_t i = first; i < end; ++i) counts[static_cast<std::size_t>(i)].fetch_add(1);
          std::int64_t known = longest.load();
          while (end - first > known && !longest.compare_exchange_weak(known, end - first)) {
          }
        });
        for (const std::atomic<int>& count : counts) CHECK(count.load() == 1);
        CHECK(longest.load() <= piece);
      }
    }
  }
}

TEST_CASE("the threads' ranges are contiguous, in order, and differ by one item at most") {
  for (const int n_threads : {1, 2, 3, 7, 128}) {
    for (const std::int64_t n_items : {0, 1, 2, 127, 128, 129, 100000}) {
      CAPTURE(n_threads, n_items);
      std::int64_t next = 0;
      for (int thread = 0; thread < n_threads; ++thread) {
        const ItemRange range = range_of_thread(n_items, thread, n_threads);
        CHECK(range.first == next);
        CHECK(range.end - range.first >= n_items / n_threads);
        CHECK(range.end - range.first <= n_items / n_threads + 1);
        next = range.end;
      }
      CHECK(next == n_items);
    }
  }
}

TEST_CASE("a loop is shared by one group of threads for each eight slices begun") {
  CHECK(threads_of_loop(0, 1, 128) == kGroupThreads);
  CHECK(threads_of_loop(100, 100, 2) == 2);
  CHECK(threads_of_loop(64, 8, 128) == 8);
  CHECK(threads_of_loop(65, 8, 128) == 16);
  CHECK(threads_of_loop(1000, 8, 128) == 125 / kGroupThreads * kGroupThreads + kGroupThreads);
  CHECK(threads_of_loop(1 << 20, 8, 128) == 128);
  CHECK(threads_of_loop(1 << 20, 8, 100) == 100);
}

TEST_CASE("the threads of every group take part in a long loop") {
  constexpr int kThreads = 20;
  ThreadPool pool({.n_threads = kThreads, .cpus = {}});
  std::array<std::atomic<bool>, kThreads> took_part{};
  std::atomic<int> n_taking_part{0};
  // Every thread holds its first item until all have one, or gives up after ten seconds.
  pool.run(1000, [&](std::int64_t, int thread) {
    if (took_part[static_cast<std::size_t>(thread)].exchange(true)) return;
    n_taking_part.fetch_add(1);
    for (int i = 0; i < 10000 && n_taking_part.load() < kThreads; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  CHECK(n_taking_part.load() == kThreads);
}

TEST_CASE("threads read few streams, forwards, even if one does most of the other's work") {
  ThreadPool pool({.n_threads = 2, .cpus = {}});
  // The threads wait for each other once, so that each has started before the other can steal.
  std::atomic<int> n_begun{0};
  std::array<std::vector<std::int64_t>, 2> taken;
  pool.run(1000, [&](std::int64_t chunk, int thread) {
    auto& own = taken[static_cast<std::size_t>(thread)];
    if (own.empty()) {
      n_begun.fetch_add(1);
      for (int i = 0; i < 10000 && n_begun.load() < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    own.push_back(chunk);
    if (thread == 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  REQUIRE(n_begun.load() == 2);
  for (const int thread : {0, 1}) {
    const std::vector<std::int64_t>& chunks = taken[static_cast<std::size_t>(thread)];
    // A worker that is just starting may see the caller's range before it has one itself, and takes half of it.
    const bool is_stolen = thread == 1 && chunks.front() == 250;
    CHECK((chunks.front() == range_of_thread(1000, thread, 2).first || is_stolen));
    int n_streams = 1;
    for (std::size_t i = 1; i < chunks.size(); ++i) n_streams += chunks[i] == chunks[i - 1] + 1 ? 0 : 1;
    // Every steal halves what is left.
    CHECK(n_streams <= 20);
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

TEST_CASE("loops in quick succession, with more threads than CPUs, lose no item to late thieves") {
  const int n_threads = GENERATE(8, 20);
  CAPTURE(n_threads);
  ThreadPool pool({.n_threads = n_threads, .cpus = {}});
  for (int round = 0; round < 20000; ++round) {
    const std::int64_t n_items = 2 + round * 7 % 61;
    std::atomic<std::int64_t> sum{0};
    pool.run_ranges(n_items, 1 + round % 3, [&](std::int64_t first, std::int64_t end, int) {
      for (std::int64_t i = first; i < end; ++i) sum.fetch_add(i + 1, std::memory_order_relaxed);
    });
    REQUIRE(sum.load() == n_items * (n_items + 1) / 2);
  }
}

TEST_CASE("a body for each thread runs once on each, between loops in which threads take from each other") {
  for (const int n_threads : {1, 2, 8, 20}) {
    CAPTURE(n_threads);
    ThreadPool pool({.n_threads = n_threads, .cpus = {}});
    std::vector<std::thread::id> ids(static_cast<std::size_t>(n_threads));
    pool.run_on_each_thread([&](int thread) { ids[static_cast<std::size_t>(thread)] = std::this_thread::get_id(); });
    CHECK(ids.front() == std::this_thread::get_id());
    for (int round = 0; round < 3000; ++round) {
      std::vector<int> counts(ids.size());
      std::atomic<int> n_elsewhere{0};
      pool.run_on_each_thread([&](int thread) {
        const auto t = static_cast<std::size_t>(thread);
        ++counts[t];
        if (ids[t] != std::this_thread::get_id()) n_elsewhere.fetch_add(1);
      });
      std::atomic<int> n_items{0};
      pool.run_ranges(64, 1 + round % 3, [&](std::int64_t first, std::int64_t end, int) {
        n_items.fetch_add(static_cast<int>(end - first));
      });
      REQUIRE(counts == std::vector<int>(ids.size(), 1));
      REQUIRE(n_elsewhere.load() == 0);
      REQUIRE(n_items.load() == 64);
    }
  }
}

TEST_CASE("threads that went to sleep between loops wake up") {
  const int n_threads = GENERATE(3, 18);
  CAPTURE(n_threads);
  ThreadPool pool({.n_threads = n_threads, .cpus = {}});
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

TEST_CASE("threads that are late in every loop, and late again while they back off, leave the caller a thread") {
  // All threads share one CPU, so that a thread that sleeps in the middle of a slice may still be working when later loops begin.
  cpu_set_t before;
  REQUIRE(sched_getaffinity(0, sizeof(before), &before) == 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
  REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);
  {
    ThreadPool pool({.n_threads = 6, .cpus = {}});
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    std::int64_t n_loops = 0;
    while (std::chrono::steady_clock::now() < end) {
      std::atomic<std::int64_t> n_done{0};
      ++n_loops;
      pool.run_ranges(200, 1, [&](std::int64_t first, std::int64_t, int thread) {
        const auto begun = std::chrono::steady_clock::now();
        while (std::chrono::steady_clock::now() - begun < std::chrono::microseconds(2)) {
        }
        if (thread > 0 && (first * 37 + n_loops * 101) % 64 == 0)
          std::this_thread::sleep_for(std::chrono::microseconds(150));
        n_done.fetch_add(1);
      });
      REQUIRE(n_done.load() == 200);
    }
  }
  CHECK(sched_setaffinity(0, sizeof(before), &before) == 0);
}

TEST_CASE("a CPU that is not there leaves the thread unpinned and says so") {
  ThreadPool pool({.n_threads = 1, .cpus = {1023}});
  pool.run(1, [](std::int64_t, int) {});
  CHECK_FALSE(pool.pinned());
}

}  // namespace
}  // namespace secondsource::cpu
