#include "cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

#include "core/check.h"

namespace secondsource::cpu {
namespace {

// Polls before a thread sleeps: about 20 microseconds, longer than the serial stretches between the loops of a step,
// shorter than what a neighbour would miss.
constexpr int kSpins = 1000;
constexpr std::uint64_t kCountMask = 0xffffffffU;
constexpr std::int64_t kMaxChunks = std::int64_t{1} << 30;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Returns once `value` is no longer `old`: spins, then sleeps in the kernel.
void wait_until_changed(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(ThreadPoolOptions options)
    : n_threads_(std::max(1, options.n_threads)), cpus_(std::move(options.cpus)) {
  threads_.reserve(static_cast<std::size_t>(n_threads_ - 1));
  for (int thread = 1; thread < n_threads_; ++thread) threads_.emplace_back([this, thread] { worker_loop(thread); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::pin(int thread) {
  if (cpus_.empty()) return;
  const auto cpu = static_cast<std::size_t>(cpus_[static_cast<std::size_t>(thread) % cpus_.size()]);
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0) pinned_.store(false);
}

void ThreadPool::run_erased(std::int64_t n_chunks, const void* body, Function function) {
  SS_CHECK(n_chunks >= 0, "a negative number of chunks");
  if (!caller_pinned_) {
    caller_pinned_ = true;
    pin(0);
  }
  if (n_threads_ == 1 || n_chunks <= 1) {
    for (std::int64_t chunk = 0; chunk < n_chunks; ++chunk) function(body, chunk, 0);
    return;
  }
  for (std::int64_t first = 0; first < n_chunks; first += kMaxChunks) {
    run_batch(first, std::min(kMaxChunks, n_chunks - first), body, function);
  }
}

void ThreadPool::run_batch(std::int64_t first_chunk, std::int64_t n_chunks, const void* body, Function function) {
  body_ = body;
  function_ = function;
  first_chunk_ = first_chunk;
  n_done_.store(0, std::memory_order_relaxed);
  ticket_.store(static_cast<std::uint64_t>(n_chunks) << 32, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  work(0);
  const auto all = static_cast<std::uint32_t>(n_chunks);
  for (;;) {
    const std::uint32_t n_done = n_done_.load(std::memory_order_acquire);
    if (n_done == all) return;
    wait_until_changed(n_done_, n_done);
  }
}

void ThreadPool::work(int thread) {
  for (;;) {
    const std::uint64_t ticket = ticket_.fetch_add(1, std::memory_order_acq_rel);
    const std::uint64_t chunk = ticket & kCountMask;
    const std::uint64_t n_chunks = ticket >> 32;
    if (chunk >= n_chunks) return;
    // The loop cannot end, nor the fields change, before this chunk is counted as done.
    function_(body_, first_chunk_ + static_cast<std::int64_t>(chunk), thread);
    if (n_done_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_chunks) n_done_.notify_one();
  }
}

void ThreadPool::worker_loop(int thread) {
  pin(thread);
  std::uint32_t seen = 0;
  while (!stopping_.load(std::memory_order_acquire)) {
    work(thread);
    wait_until_changed(epoch_, seen);
    seen = epoch_.load(std::memory_order_acquire);
  }
}

}  // namespace secondsource::cpu
