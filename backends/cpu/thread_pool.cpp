#include "cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

#include "core/check.h"
#include "core/clock.h"

namespace secondsource::cpu {
namespace {

// Polls before a thread sleeps: about 20 microseconds, which is longer than the serial work between the loops of a step
// and short enough not to hurt a neighbour on the same CPU.
constexpr int kSpins = 1000;
// The caller waits this long for the last slices before it sleeps and assumes that a thread has lost its CPU. That thread then backs off
// for 20 times as long as it was waited for, so that trying again costs a twentieth. If it loses its CPU again within the length of its
// last backoff, the process that took the CPU is still there, and the factor doubles each time, up to 320 (a cost of 0.3 %).
constexpr std::int64_t kPatienceNs = 50'000;
constexpr std::int64_t kBackoffFactor = 20;
constexpr std::int64_t kMaxBackoffFactor = 320;
// The most that a thread prefetches of the next stream (a quarter of the second-level cache of most CPUs), and how much
// between two checks whether the loop has begun.
constexpr std::int64_t kPrefetchBytes = std::int64_t{256} << 10;
constexpr std::int64_t kPrefetchStepBytes = 512;
constexpr std::int64_t kLineBytes = 64;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

std::uint64_t to_word(std::uint64_t first, std::uint64_t end) {
  return first << 32U | end;
}
std::uint32_t first_of(std::uint64_t word) {
  return static_cast<std::uint32_t>(word >> 32U);
}
std::uint32_t end_of(std::uint64_t word) {
  return static_cast<std::uint32_t>(word);
}
std::uint32_t size_of_word(std::uint64_t word) {
  return end_of(word) - first_of(word);
}

// Items from this one on belong to run_on_each_thread() and may not be stolen; those of other loops are smaller.
constexpr std::uint64_t kFirstPinnedItem = std::uint64_t{1} << 31U;
bool is_pinned_item(std::uint64_t word) {
  return first_of(word) >= kFirstPinnedItem;
}

}  // namespace

ThreadPool::ThreadPool(ThreadPoolOptions options)
    : n_threads_(std::max(1, options.n_threads)),
      cpus_(std::move(options.cpus)),
      groups_(std::make_unique<Group[]>(static_cast<std::size_t>(n_groups()))),
      slots_(std::make_unique<Slot[]>(static_cast<std::size_t>(n_threads_))) {
  threads_.reserve(static_cast<std::size_t>(n_threads_ - 1));
  try {
    for (int thread = 1; thread < n_threads_; ++thread) threads_.emplace_back([this, thread] { worker_loop(thread); });
  } catch (...) {
    end_threads();  // the system lets us start no more (ulimit -u)
    throw;
  }
}

ThreadPool::~ThreadPool() {
  end_threads();
}

void ThreadPool::end_threads() {
  stopping_.store(true, std::memory_order_release);
  announce_loop(n_groups());
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

void ThreadPool::pin_caller() {
  if (caller_pinned_) return;
  caller_pinned_ = true;
  pin(0);
}

void ThreadPool::describe_loop(std::int64_t n_items, std::int64_t slice_items, const void* body, Function function) {
  for (int group = 0; group < n_groups(); ++group) {
    Group& of = groups_[static_cast<std::size_t>(group)];
    of.body = body;
    of.function = function;
    of.slice_items.store(static_cast<std::uint32_t>(slice_items), std::memory_order_relaxed);
  }
  n_announced_ += static_cast<std::uint64_t>(n_items);
}

void ThreadPool::announce_loop(int n_groups) {
  for (int group = 0; group < n_groups; ++group) {
    Group& of = groups_[static_cast<std::size_t>(group)];
    // A thread counts itself as sleeping before it reads the epoch for the last time. So either it sees the new epoch, or this thread sees
    // that it sleeps.
    of.epoch.fetch_add(1);
    if (of.n_sleeping.load() > 0) of.epoch.notify_all();
  }
}

void ThreadPool::run_each(const void* body, Function function) {
  pin_caller();
  describe_loop(n_threads_, 1, body, function);
  for (int thread = 0; thread < n_threads_; ++thread) {
    Slot& slot = slots_[static_cast<std::size_t>(thread)];
    slot.backs_off.store(false, std::memory_order_relaxed);
    const std::uint64_t item = kFirstPinnedItem + static_cast<std::uint64_t>(thread);
    slot.range.store(to_word(item, item + 1), std::memory_order_release);
  }
  n_backing_off_ = 0;
  announce_loop(n_groups());
  work(0);
  wait_for_all(Slices::kAny);
}

std::vector<ItemRange> ThreadPool::store_ranges(std::int64_t n_items, int n_active) {
  std::vector<ItemRange> displaced;
  const auto store = [&](int thread, ItemRange range) {
    const std::uint64_t word = to_word(static_cast<std::uint64_t>(range.first), static_cast<std::uint64_t>(range.end));
    const std::uint64_t old = slots_[static_cast<std::size_t>(thread)].range.exchange(word, std::memory_order_acq_rel);
    if (size_of_word(old) > 0) displaced.push_back({first_of(old), end_of(old)});
  };
  int active = 0;
  for (int thread = 0; thread < n_threads_ && active < n_active; ++thread) {
    if (slots_[static_cast<std::size_t>(thread)].backs_off.load(std::memory_order_relaxed)) continue;
    ItemRange range = range_of_thread(n_items, active++, n_active);
    if (thread >= kGroupThreads) {
      // The first thread of another group gets the ranges of all of its threads, which steal from it.
      const int end_of_group = (thread / kGroupThreads + 1) * kGroupThreads;
      for (int other = thread + 1; other < std::min(end_of_group, n_threads_) && active < n_active; ++other) {
        if (slots_[static_cast<std::size_t>(other)].backs_off.load(std::memory_order_relaxed)) continue;
        range.end = range_of_thread(n_items, active++, n_active).end;
      }
      store(thread, range);
      thread = end_of_group - 1;
    } else {
      store(thread, range);
    }
  }
  return displaced;
}

void ThreadPool::run_erased(std::int64_t n_items, std::int64_t slice_items, Slices slices, const void* body,
                            Function function) {
  SS_CHECK(n_items >= 0 && n_items <= INT32_MAX, "a loop has from 0 to 2^31 - 1 items");
  SS_CHECK(slice_items > 0, "a slice has at least one item");
  pin_caller();
  const std::int64_t slice = std::min<std::int64_t>(slice_items, INT32_MAX);
  if (n_backing_off_ > 0) end_backoffs();
  SS_CHECK(n_backing_off_ < n_threads_, "the caller never backs off");
  const int n_active = threads_of_loop(n_items, slice, n_threads_ - n_backing_off_);
  if (n_active == 1 || n_items <= slice) {
    for (std::int64_t first = 0; first < n_items; first += slice) {
      function(body, {first, std::min(n_items, first + slice)}, 0);
    }
    return;
  }
  describe_loop(n_items, slice, body, function);
  // A thread that is late from the previous loop may steal as soon as the first range is stored, and may publish the
  // stolen range in its own slot before that slot gets its range here; the caller runs what it displaces.
  const std::vector<ItemRange> displaced = store_ranges(n_items, n_active);
  announce_loop(std::min(n_groups(), (n_active + n_backing_off_ + kGroupThreads - 1) / kGroupThreads));
  for (const ItemRange& range : displaced) run_items(range, 0);
  work(0);
  wait_for_all(slices);
}

void ThreadPool::announce_next(const NextStream& next) {
  for (int group = 0; group < n_groups(); ++group) {
    Group& of = groups_[static_cast<std::size_t>(group)];
    if (group * kGroupThreads < next.n_threads) {
      of.next.store(next.items, std::memory_order_relaxed);
      of.next_item_bytes.store(next.item_bytes, std::memory_order_relaxed);
      of.next_items.store(next.n_items, std::memory_order_relaxed);
    }
    // Threads that the loop does not need prefetch nothing.
    const bool is_known = of.next_threads.load(std::memory_order_relaxed) == next.n_threads;
    if (!is_known) of.next_threads.store(next.n_threads, std::memory_order_relaxed);
  }
}

// A late thread may combine parts of two announcements. That is harmless: prefetching an unmapped address does nothing.
void ThreadPool::prefetch_next(int thread, std::uint32_t epoch, Prefetched& prefetched) const {
  const Group& group = group_of(thread);
  const int n_threads = group.next_threads.load(std::memory_order_relaxed);
  if (thread >= n_threads) return;
  const std::int64_t item_bytes = group.next_item_bytes.load(std::memory_order_relaxed);
  const ItemRange items = range_of_thread(group.next_items.load(std::memory_order_relaxed), thread, n_threads);
  const std::byte* const stream = group.next.load(std::memory_order_relaxed);
  if (stream == nullptr) return;
  const std::byte* const next = stream + items.first * item_bytes;
  if (next != prefetched.from) prefetched = {next, 0};
  const std::int64_t end = std::min((items.end - items.first) * item_bytes, kPrefetchBytes);
  while (prefetched.bytes < end && group.epoch.load(std::memory_order_relaxed) == epoch) {
    for (std::int64_t at = 0; at < kPrefetchStepBytes; at += kLineBytes) {
      constexpr int kToRead = 0;
      constexpr int kSecondLevel = 2;
      __builtin_prefetch(next + prefetched.bytes + at, kToRead, kSecondLevel);
    }
    prefetched.bytes += kPrefetchStepBytes;
  }
}

void ThreadPool::end_backoffs() {
  const std::int64_t now = now_ns();
  for (int thread = 1; thread < n_threads_; ++thread) {
    Slot& slot = slots_[static_cast<std::size_t>(thread)];
    if (!slot.backs_off.load(std::memory_order_relaxed) || slot.backoff_until_ns > now) continue;
    slot.backs_off.store(false, std::memory_order_relaxed);
    --n_backing_off_;
  }
}

bool ThreadPool::is_loop_over() const {
  // Counters only grow, and together they reach n_announced_ when the last item is done, so it does not matter that they are
  // read one after the other.
  std::uint64_t n_done = 0;
  for (int group = 0; group < n_groups(); ++group) n_done += groups_[static_cast<std::size_t>(group)].n_done.load();
  return n_done == n_announced_;
}

void ThreadPool::wait_for_all(Slices slices) {
  if (is_loop_over()) return;
  const std::int64_t began_ns = now_ns();
  while (now_ns() - began_ns < kPatienceNs) {
    for (int spin = 0; spin < 16; ++spin) pause();
    if (is_loop_over()) return;
  }
  // Nothing is left to take, so a thread that still holds a short slice has lost its CPU.
  std::vector<Slot*> late;
  for (int thread = 1; thread < n_threads_ && slices == Slices::kShort; ++thread) {
    Slot& slot = slots_[static_cast<std::size_t>(thread)];
    if (slot.holds_slice.load(std::memory_order_acquire)) late.push_back(&slot);
  }
  // A thread counts its items before it checks whether the caller sleeps, and the caller says that it sleeps before it reads the counts. So
  // either the thread sees that the caller sleeps, or the caller sees the items.
  caller_sleeps_.store(true);
  for (;;) {
    const std::uint32_t n_wakes = n_wakes_.load();
    if (is_loop_over()) break;
    n_wakes_.wait(n_wakes);
  }
  caller_sleeps_.store(false);
  const std::int64_t now = now_ns();
  for (Slot* const slot : late) {
    const bool stays = began_ns - slot->backoff_until_ns < slot->backoff_ns;
    slot->backoff_factor = stays ? std::min(2 * slot->backoff_factor, kMaxBackoffFactor) : kBackoffFactor;
    slot->backoff_ns = slot->backoff_factor * (now - began_ns);
    slot->backoff_until_ns = now + slot->backoff_ns;
    // A thread that lost its CPU within a loop goes on with the next ones, and may be late again while it already backs off.
    if (slot->backs_off.exchange(true, std::memory_order_relaxed)) continue;
    ++n_backing_off_;
  }
}

bool ThreadPool::take_front(int thread, ItemRange& slice) {
  std::atomic<std::uint64_t>& range = slots_[static_cast<std::size_t>(thread)].range;
  const std::atomic<std::uint32_t>& slice_items = group_of(thread).slice_items;
  std::uint64_t word = range.load(std::memory_order_acquire);
  while (size_of_word(word) > 0) {
    const std::uint32_t n = std::min(slice_items.load(std::memory_order_relaxed), size_of_word(word));
    const std::uint32_t first = first_of(word);
    if (range.compare_exchange_weak(word, to_word(first + n, end_of(word)), std::memory_order_acq_rel,
                                    std::memory_order_acquire)) {
      slice = {first, first + n};
      return true;
    }
  }
  return false;
}

ThreadPool::Victim ThreadPool::longest_range(int first, int end, int thief) const {
  Victim victim;
  for (int i = 0; i < end - first; ++i) {
    const int candidate = first + (thief - first + i) % (end - first);
    const auto index = static_cast<std::size_t>(candidate);
    const std::uint64_t word = slots_[index].range.load(std::memory_order_acquire);
    if (is_pinned_item(word) || size_of_word(word) <= size_of_word(victim.range)) continue;
    victim = {index, word};
  }
  return victim;
}

bool ThreadPool::take(int thread, ItemRange& slice) {
  std::atomic<std::uint64_t>& own = slots_[static_cast<std::size_t>(thread)].range;
  const int first_of_group = thread / kGroupThreads * kGroupThreads;
  const int end_of_group = std::min(n_threads_, first_of_group + kGroupThreads);
  for (;;) {
    if (take_front(thread, slice)) return true;
    std::uint64_t empty = own.load(std::memory_order_acquire);
    if (size_of_word(empty) > 0) continue;
    // Steal from the longest range left. Its owner is the most delayed thread, or holds the range of its whole group.
    Victim victim = longest_range(first_of_group, end_of_group, thread);
    if (size_of_word(victim.range) == 0 && n_threads_ > kGroupThreads) victim = longest_range(0, n_threads_, thread);
    if (size_of_word(victim.range) == 0) return false;
    // Take half of it, work through it from the front, and let others steal from it in turn. Tails that are taken slice by slice are read
    // backwards, which is a fifth slower (Zen 4, November 2026).
    const std::uint32_t end = end_of(victim.range);
    const std::uint32_t slice_items =
        std::min(group_of(thread).slice_items.load(std::memory_order_relaxed), size_of_word(victim.range));
    const std::uint32_t n = std::max(slice_items, size_of_word(victim.range) / 2);
    if (!slots_[victim.thread].range.compare_exchange_weak(victim.range, to_word(first_of(victim.range), end - n),
                                                           std::memory_order_acq_rel, std::memory_order_acquire)) {
      continue;
    }
    slice = {end - n, end - n + slice_items};
    // If the next loop has meanwhile stored a range in the slot of this thread, the thread runs all that it stole without sharing it.
    if (n > slice_items && !own.compare_exchange_strong(empty, to_word(end - n + slice_items, end),
                                                        std::memory_order_acq_rel, std::memory_order_acquire)) {
      slice.end = end;
    }
    return true;
  }
}

void ThreadPool::run_items(ItemRange items, int thread) {
  // The loop cannot end, and its fields cannot change, before these items are counted as done. `items` may be longer than
  // a slice of this loop: it may have been taken with the slice size of the previous one.
  Group& group = group_of(thread);
  const auto step = static_cast<std::int64_t>(group.slice_items.load(std::memory_order_relaxed));
  for (std::int64_t first = items.first; first < items.end; first += step) {
    group.function(group.body, {first, std::min(items.end, first + step)}, thread);
  }
  group.n_done.fetch_add(static_cast<std::uint64_t>(items.end - items.first));
  if (thread != 0 && caller_sleeps_.load()) {
    n_wakes_.fetch_add(1);
    n_wakes_.notify_one();
  }
}

void ThreadPool::work(int thread) {
  Slot& slot = slots_[static_cast<std::size_t>(thread)];
  if (slot.backs_off.load(std::memory_order_relaxed)) return;
  slot.holds_slice.store(true, std::memory_order_relaxed);
  ItemRange slice;
  while (take(thread, slice)) run_items(slice, thread);
  slot.holds_slice.store(false, std::memory_order_relaxed);
}

void ThreadPool::wait_for_loop(Group& group, std::uint32_t seen) const {
  // A loop that needs few threads is announced to few groups. Threads of the others keep polling as long as there are loops, because waking
  // them for the next long loop would take longer than the short ones take.
  const std::atomic<std::uint32_t>& loops = groups_[0].epoch;
  std::uint32_t n_loops = loops.load(std::memory_order_relaxed);
  for (;;) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (group.epoch.load(std::memory_order_acquire) != seen) return;
      pause();
    }
    const std::uint32_t n_loops_now = loops.load(std::memory_order_relaxed);
    if (n_loops_now == n_loops) break;
    n_loops = n_loops_now;
  }
  group.n_sleeping.fetch_add(1);
  group.epoch.wait(seen);
  group.n_sleeping.fetch_sub(1);
}

void ThreadPool::worker_loop(int thread) {
  pin(thread);
  Group& group = group_of(thread);
  std::uint32_t seen = 0;
  Prefetched prefetched;
  while (!stopping_.load(std::memory_order_acquire)) {
    work(thread);
    prefetch_next(thread, seen, prefetched);
    wait_for_loop(group, seen);
    seen = group.epoch.load(std::memory_order_acquire);
  }
}

}  // namespace secondsource::cpu
