#pragma once
// A pool of persistent threads that share loops. Work is handed out in chunks from one counter, so a thread that a busy
// neighbour holds up simply takes fewer; one that has not started yet is not waited for at all.
//
//   ThreadPool pool({.n_threads = 4});
//   pool.run(n_chunks, [&](std::int64_t chunk, int thread) { ... });   // the caller is thread 0

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace secondsource::cpu {

struct ThreadPoolOptions {
  int n_threads = 1;               ///< with the caller
  std::vector<std::int32_t> cpus;  ///< pin thread i to cpus[i]; thread 0, the caller, at its first run(); empty: none
};

/// Used by one caller at a time.
class ThreadPool {
 public:
  explicit ThreadPool(ThreadPoolOptions options);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int n_threads() const noexcept { return n_threads_; }

  /// body(chunk, thread) for every chunk in [0, n_chunks), in any order, then returns. One chunk runs on the caller.
  template <typename Body>
  void run(std::int64_t n_chunks, const Body& body) {
    run_erased(n_chunks, &body, [](const void* erased, std::int64_t chunk, int thread) {
      (*static_cast<const Body*>(erased))(chunk, thread);
    });
  }

  /// Could every thread be pinned as asked? For the report; true when nothing was asked.
  [[nodiscard]] bool pinned() const noexcept { return pinned_.load(); }

 private:
  using Function = void (*)(const void* body, std::int64_t chunk, int thread);

  void run_erased(std::int64_t n_chunks, const void* body, Function function);
  void run_batch(std::int64_t first_chunk, std::int64_t n_chunks, const void* body, Function function);
  void work(int thread);
  void worker_loop(int thread);
  void pin(int thread);

  int n_threads_;
  std::vector<std::int32_t> cpus_;
  bool caller_pinned_ = false;
  std::atomic<bool> pinned_{true};
  // The loop under way. Written before `ticket_` announces it, read only by a thread that holds a claimed chunk.
  const void* body_ = nullptr;
  Function function_ = nullptr;
  std::int64_t first_chunk_ = 0;
  // Chunks of the loop under way (high half) and the next to hand out (low half), in one word: a late thread can never
  // claim a chunk of a loop that is over.
  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<std::uint32_t> n_done_{0};
  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace secondsource::cpu
