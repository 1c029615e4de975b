#pragma once
// A pool of persistent threads that share loops. Every thread has one contiguous range of a loop and works through it
// from the front, so that it reads one stream; whoever is done takes the tail half of the longest range left. A thread
// that a busy neighbour holds up loses its tail, and what waits for it is the one piece in its hands; one that has not
// started yet is not waited for at all. A thread that was waited for too long, because the system gave its CPU to
// somebody else in the middle of a piece, rests for a while: the others share its part, and the loss stays a small
// fraction.
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
  int n_threads = 1;               ///< with the caller
  std::vector<std::int32_t> cpus;  ///< pin thread i to cpus[i]; thread 0, the caller, at its first run(); empty: none
};

/// Items [first, end).
struct ItemRange {
  std::int64_t first = 0;
  std::int64_t end = 0;
  friend bool operator==(const ItemRange&, const ItemRange&) = default;
};

/// The range that thread `thread` of `n_threads` has of `n_items` before anything is stolen: contiguous, in the order
/// of the threads, sizes apart by one at most. The same for every loop of as many items, so that a thread finds in its
/// memory node what it put there.
[[nodiscard]] constexpr ItemRange range_of_thread(std::int64_t n_items, int thread, int n_threads) {
  const std::int64_t shorter = n_items / n_threads;
  const std::int64_t n_longer = n_items % n_threads;
  const std::int64_t first = thread * shorter + std::min<std::int64_t>(thread, n_longer);
  return {first, first + shorter + (thread < n_longer ? 1 : 0)};
}

/// Memory that a later loop of run_ranges() will stream: its items, one after the other.
struct NextStream {
  const std::byte* items = nullptr;
  std::int64_t item_bytes = 0;
  std::int64_t n_items = 0;
};

/// Used by one caller at a time.
class ThreadPool {
 public:
  explicit ThreadPool(ThreadPoolOptions options);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int n_threads() const noexcept { return n_threads_; }

  /// body(first, end, thread) over pieces of at most `piece_items` (> 0) that together are [0, n_items), then returns.
  /// A piece takes microseconds: a thread that holds one for much longer has lost its CPU, and rests. Runs on the
  /// caller alone when one piece is all there is. At most 2^31 - 1 items.
  template <typename Body>
  void run_ranges(std::int64_t n_items, std::int64_t piece_items, const Body& body) {
    run_erased(n_items, piece_items, Pieces::kShort, &body, [](const void* erased, ItemRange piece, int thread) {
      (*static_cast<const Body*>(erased))(piece.first, piece.end, thread);
    });
  }

  /// From the end of the next loop on, until the loop after it begins, a thread without work asks for the beginning of
  /// its part of this memory: while the caller does what only one thread can do, the others go on reading. Stays until
  /// another is named.
  void announce_next(const NextStream& next);

  /// body(chunk, thread) for every chunk in [0, n_chunks), of any length, then returns.
  template <typename Body>
  void run(std::int64_t n_chunks, const Body& body) {
    run_erased(n_chunks, 1, Pieces::kAny, &body, [](const void* erased, ItemRange piece, int thread) {
      (*static_cast<const Body*>(erased))(piece.first, thread);
    });
  }

  /// body(thread) once on every thread, then returns: nobody does another's.
  template <typename Body>
  void run_on_each_thread(const Body& body) {
    run_own(&body, [](const void* erased, ItemRange, int thread) { (*static_cast<const Body*>(erased))(thread); });
  }

  [[nodiscard]] bool pins_threads() const noexcept { return !cpus_.empty(); }
  /// Could every thread be pinned as asked? For the report; true when nothing was asked.
  [[nodiscard]] bool pinned() const noexcept { return pinned_.load(); }

 private:
  using Function = void (*)(const void* body, ItemRange piece, int thread);

  /// One thread's part of the loop under way.
  struct alignas(64) Slot {
    /// What is left of its range: first (high half) and end (low half) in one word, so that the owner at the front and
    /// a thief at the tail can never take the same item, and a late thread none of a loop that is over.
    std::atomic<std::uint64_t> range{0};
    std::atomic<bool> holds_piece{false};
    std::atomic<bool> rests{false};
    std::int64_t rests_until_ns = 0;              ///< the caller's, as the next two
    std::int64_t rest_ns = 0;                     ///< how long the last rest was
    std::int64_t rest_factor = 0;                 ///< times the wait before it
    std::atomic<const std::byte*> next{nullptr};  ///< its part of what was announced
    std::atomic<std::int64_t> next_bytes{0};
  };

  /// How much of its part of the next stream a thread has asked for.
  struct Asked {
    const std::byte* from = nullptr;
    std::int64_t bytes = 0;
  };

  enum class Pieces : std::uint8_t { kShort, kAny };
  void run_erased(std::int64_t n_items, std::int64_t piece_items, Pieces pieces, const void* body, Function function);
  void run_own(const void* body, Function function);
  void pin_caller();
  void describe_loop(std::int64_t n_items, std::int64_t piece_items, const void* body, Function function);
  void announce_loop();
  void end_rests();
  void wait_for_all(Pieces pieces);
  void work(int thread);
  void run_items(ItemRange items, int thread);
  [[nodiscard]] bool take_front(int thread, ItemRange& piece);
  /// From the own range, or else from another's. False when nothing is left to take.
  [[nodiscard]] bool take(int thread, ItemRange& piece);
  void worker_loop(int thread);
  void ask_ahead(int thread, std::uint32_t epoch, Asked& asked) const;
  void pin(int thread);

  int n_threads_;
  std::vector<std::int32_t> cpus_;
  bool caller_pinned_ = false;
  std::atomic<bool> pinned_{true};
  // The loop under way. Written before `slots_` announce it; read only by a thread that holds a piece of it, whose
  // taking makes it visible.
  const void* body_ = nullptr;
  Function function_ = nullptr;
  std::uint32_t n_items_ = 0;
  // Read before a piece is held: the size of one.
  std::atomic<std::uint32_t> piece_items_{1};
  std::unique_ptr<Slot[]> slots_;  ///< [n_threads]
  int n_resting_ = 0;
  alignas(64) std::atomic<std::uint32_t> n_done_{0};
  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

/// The pool's threads for the work of lib/backend. The pool has to outlive it.
[[nodiscard]] inline ForEach for_each_on(ThreadPool& pool) {
  return [&pool](std::int64_t n, const std::function<void(std::int64_t)>& body) {
    pool.run(n, [&body](std::int64_t i, int) { body(i); });
  };
}

}  // namespace secondsource::cpu
