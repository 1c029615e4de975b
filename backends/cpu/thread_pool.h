#pragma once
// A pool of persistent threads that share loops by work stealing. Every thread has one contiguous range of a loop and
// works through it from the front, slice by slice, so that it reads one stream. A thread that is done steals the tail
// half of the longest range left. If a busy neighbour delays a thread, the others take its tail and wait only for the
// slice that it holds; a thread that has not started yet is not waited for at all. A thread that the others had to wait
// for too long, because the system gave its CPU to another process in the middle of a slice, backs off for a while: the
// others share its range, so that the time lost stays a small fraction.
//
//   ThreadPool pool({.n_threads = 4});
//   pool.run(n_chunks, [&](std::int64_t chunk, int thread) { ... });   // the caller is thread 0
//   pool.run_ranges(n_items, 8, [&](std::int64_t first, std::int64_t end, int thread) { ... });
//   pool.run_on_each_thread([&](int thread) { ... });

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "backend_kit/for_each.h"

namespace secondsource::cpu {

struct ThreadPoolOptions {
  int n_threads = 1;  ///< including the caller
  std::vector<std::int32_t>
      cpus;  ///< thread i is pinned to cpus[i % cpus.size()]; thread 0, the caller, at its first run(). Empty: none
};

/// Items [first, end).
struct ItemRange {
  std::int64_t first = 0;
  std::int64_t end = 0;
  friend bool operator==(const ItemRange&, const ItemRange&) = default;
};

/// The range of `n_items` that thread `thread` of `n_threads` starts with: contiguous, in the order of the threads, sizes
/// that differ by at most one. It is the same for every loop of n_items and threads, so that where all threads share the loop, a thread
/// finds in its memory node what it placed there.
[[nodiscard]] constexpr ItemRange range_of_thread(std::int64_t n_items, int thread, int n_threads) {
  const std::int64_t shorter = n_items / n_threads;
  const std::int64_t n_longer = n_items % n_threads;
  const std::int64_t first = thread * shorter + std::min<std::int64_t>(thread, n_longer);
  return {first, first + shorter + (thread < n_longer ? 1 : 0)};
}

/// Threads of a group. A loop is announced to all of them at once, and they count its finished items in one counter.
inline constexpr int kGroupThreads = 8;

/// How many of `n_threads` threads share a loop: one group for each eight slices begun, so that a short loop does not wait for many
/// threads.
[[nodiscard]] constexpr int threads_of_loop(std::int64_t n_items, std::int64_t slice_items, int n_threads) {
  const std::int64_t n_slices = n_items / slice_items + (n_items % slice_items > 0 ? 1 : 0);
  const std::int64_t n_groups = std::max<std::int64_t>(1, (n_slices + kGroupThreads - 1) / kGroupThreads);
  return static_cast<int>(std::min<std::int64_t>(n_groups * kGroupThreads, n_threads));
}

/// The memory that a later loop of run_ranges() will stream: its items, one after the other.
struct NextStream {
  const std::byte* items = nullptr;
  std::int64_t item_bytes = 0;
  std::int64_t n_items = 0;
  int n_threads = 1;  ///< that share the loop: threads_of_loop()
};

/// Not thread-safe: one caller at a time.
class ThreadPool {
 public:
  explicit ThreadPool(ThreadPoolOptions options);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int n_threads() const noexcept { return n_threads_; }

  /// body(first, end, thread) over slices of at most `slice_items` (> 0) that together are [0, n_items), then returns.
  /// A slice takes microseconds: a thread that holds one for much longer has lost its CPU and backs off. Runs on the
  /// caller alone if there is only one slice. At most 2^31 - 1 items.
  template <typename Body>
  void run_ranges(std::int64_t n_items, std::int64_t slice_items, const Body& body) {
    run_erased(n_items, slice_items, Slices::kShort, &body, [](const void* erased, ItemRange slice, int thread) {
      (*static_cast<const Body*>(erased))(slice.first, slice.end, thread);
    });
  }

  /// Between the end of the next loop and the start of the one after it, idle threads prefetch the beginning of their ranges of this
  /// memory, so that reading goes on while the caller does serial work. Threads outside the caller's group have to steal their ranges and
  /// get those that they prefetched only by chance. Stays set until the next call.
  void announce_next(const NextStream& next);

  /// body(chunk, thread) for every chunk in [0, n_chunks), of any length, then returns.
  template <typename Body>
  void run(std::int64_t n_chunks, const Body& body) {
    run_erased(n_chunks, 1, Slices::kAny, &body, [](const void* erased, ItemRange slice, int thread) {
      (*static_cast<const Body*>(erased))(slice.first, thread);
    });
  }

  /// body(thread) once on every thread, without stealing, then returns.
  template <typename Body>
  void run_on_each_thread(const Body& body) {
    run_each(&body, [](const void* erased, ItemRange, int thread) { (*static_cast<const Body*>(erased))(thread); });
  }

  [[nodiscard]] bool pins_threads() const noexcept { return !cpus_.empty(); }
  /// Whether every thread could be pinned as requested, for the report; true if nothing was requested.
  [[nodiscard]] bool pinned() const noexcept { return pinned_.load(); }

 private:
  using Function = void (*)(const void* body, ItemRange slice, int thread);

  /// One thread's state in the current loop.
  struct alignas(64) Slot {
    /// What is left of its range: first (high half) and end (low half) in one word, so that the owner at the front and a
    /// thief at the tail cannot take the same item, and a late thread cannot take items of a loop that is over.
    std::atomic<std::uint64_t> range{0};
    std::atomic<bool> holds_slice{false};  ///< takes slices or looks for one
    std::atomic<bool> backs_off{false};
    std::int64_t backoff_until_ns = 0;  ///< this and the next two are used by the caller only
    std::int64_t backoff_ns = 0;        ///< length of the last backoff
    std::int64_t backoff_factor = 0;    ///< that length, divided by how long the thread was waited for
  };

  /// What the threads of a group share, divided into cache lines by which threads write the fields and when.
  struct Group {
    /// Counts the loops that were announced to this group; its threads wait for a change.
    alignas(64) std::atomic<std::uint32_t> epoch{0};
    /// Threads that wait in the kernel; the epoch is notified only if there are any. The library cannot tell for which atomic a thread
    /// waits, so that otherwise one sleeper of any group would make every announcement a system call (0.4 us instead of 2 ns).
    std::atomic<int> n_sleeping{0};
    // The current loop. Written before any of its ranges is stored, and read only by threads that hold a slice of it: taking
    // the slice makes these fields visible.
    alignas(64) const void* body = nullptr;
    Function function = nullptr;
    /// Items of a slice; read before a slice is held, hence atomic.
    std::atomic<std::uint32_t> slice_items{1};
    // The announced stream (NextStream).
    std::atomic<int> next_threads{1};
    std::atomic<const std::byte*> next{nullptr};
    std::atomic<std::int64_t> next_item_bytes{0};
    std::atomic<std::int64_t> next_items{0};
    /// Items that its threads have finished, in all loops since the beginning.
    alignas(64) std::atomic<std::uint64_t> n_done{0};
  };

  /// How much of its range of the next stream a thread has prefetched.
  struct Prefetched {
    const std::byte* from = nullptr;
    std::int64_t bytes = 0;
  };

  enum class Slices : std::uint8_t { kShort, kAny };
  void run_erased(std::int64_t n_items, std::int64_t slice_items, Slices slices, const void* body, Function function);
  void run_each(const void* body, Function function);
  void pin_caller();
  void describe_loop(std::int64_t n_items, std::int64_t slice_items, const void* body, Function function);
  /// Stores the ranges of n_items in the slots of n_active threads that do not back off. Returns ranges that late thieves had published
  /// there meanwhile.
  std::vector<ItemRange> store_ranges(std::int64_t n_items, int n_active);
  /// Announces the loop to the first n_groups groups.
  void announce_loop(int n_groups);
  void end_backoffs();
  void wait_for_all(Slices slices);
  [[nodiscard]] bool is_loop_over() const;
  void work(int thread);
  void run_items(ItemRange items, int thread);
  [[nodiscard]] bool take_front(int thread, ItemRange& slice);
  /// Takes a slice from the thread's own range, or else steals, first in its group. False if nothing is left.
  [[nodiscard]] bool take(int thread, ItemRange& slice);
  /// A range to steal from: whose it is, and the range as a word.
  struct Victim {
    std::size_t thread = 0;
    std::uint64_t range = 0;
  };
  /// The longest range that may be stolen from threads [first, end); empty if there is none.
  [[nodiscard]] Victim longest_range(int first, int end, int thief) const;
  void worker_loop(int thread);
  void wait_for_loop(Group& group, std::uint32_t seen) const;
  void end_threads();
  void prefetch_next(int thread, std::uint32_t epoch, Prefetched& prefetched) const;
  void pin(int thread);
  [[nodiscard]] int n_groups() const { return (n_threads_ + kGroupThreads - 1) / kGroupThreads; }
  [[nodiscard]] Group& group_of(int thread) { return groups_[static_cast<std::size_t>(thread / kGroupThreads)]; }
  [[nodiscard]] const Group& group_of(int thread) const {
    return groups_[static_cast<std::size_t>(thread / kGroupThreads)];
  }

  // These fields are in cache lines that all threads read and that are hardly ever written while loops run.
  int n_threads_;
  std::vector<std::int32_t> cpus_;
  std::unique_ptr<Group[]> groups_;  ///< [n_groups()]
  std::unique_ptr<Slot[]> slots_;    ///< [n_threads]
  std::vector<std::thread> threads_;
  std::atomic<bool> pinned_{true};
  std::atomic<bool> stopping_{false};
  /// Whether the caller sleeps until the loop is over, and the counter that wakes it.
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<std::uint32_t> n_wakes_{0};
  // Only the caller uses these, in a cache line of their own. In the lines above they would cost every loop one more line: 0.3 us with two
  // threads (Zen 4, November 2026).
  alignas(64) std::uint64_t n_announced_ = 0;  ///< items of all loops since the beginning
  int n_backing_off_ = 0;
  bool caller_pinned_ = false;
};

/// The pool as a ForEach for lib/backend_kit. The pool must outlive it.
[[nodiscard]] inline ForEach for_each_on(ThreadPool& pool) {
  return [&pool](std::int64_t n, const std::function<void(std::int64_t)>& body) {
    pool.run(n, [&body](std::int64_t i, int) { body(i); });
  };
}

}  // namespace secondsource::cpu
