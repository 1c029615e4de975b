#include "gpu/shim/block_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <span>

#include "core/check.h"
#include "core/counted.h"
#include "core/random.h"
#include "gpu/shim/sanitizers.h"
#include "gpu/shim/thread.h"
#include "gpu/shim/unwritten.h"

namespace secondsource::gpu::shim {
namespace {

/// All bits set is NaN in f32, BF16 and FP16, and -1 in integers.
constexpr int kPoison = 0xff;

/// The alignment of shared memory on the strictest target: wgmma tiles begin at multiples of 1024 bytes.
constexpr std::align_val_t kSharedAlignment{1024};

/// Kernels are plain functions without a context argument, so they find their runner by the OS thread, at every emulated load and
/// barrier. With this TLS model that takes one load; a module opened at run time otherwise calls the dynamic linker for it.
[[gnu::tls_model("initial-exec")]] thread_local BlockRunner* current_runner = nullptr;

}  // namespace

std::string describe(const std::source_location& where) {
  const std::string_view path = where.file_name();
  return fmt::format("{}:{}:{}", path.substr(path.find_last_of('/') + 1), where.line(), where.column());
}

bool is_same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

BlockRunner::BlockRunner(ClusterRunner& cluster, int number, ThreadOrder order, std::uint64_t seed, int warp_size,
                         bool has_warpgroups)
    : cluster_(cluster),
      number_(number),
      order_(order),
      seed_(seed),
      warp_size_(warp_size),
      has_warpgroups_(has_warpgroups) {}

BlockRunner::~BlockRunner() = default;

void BlockRunner::FreeShared::operator()(std::byte* shared) const {
  ::operator delete[](shared, kSharedAlignment);
}

BlockRunner& BlockRunner::current() {
  SS_CHECK(current_runner != nullptr, "a kernel was called outside of a launch");
  return *current_runner;
}

std::string BlockRunner::located(const std::string& what) const {
  return fmt::format("kernel {}, block ({}, {}, {}): {}", call_->name, block_.x, block_.y, block_.z, what);
}

Result<void> BlockRunner::begin(const KernelCall& call, const Dim3& block) {
  const auto lanes = static_cast<std::uint32_t>(warp_size_);
  if (call.shape.threads == 0 || call.shape.threads % lanes != 0 || call.shape.threads > 1024) {
    return Error{ErrorCode::kInternal, fmt::format("kernel {}: expected a multiple of {} threads up to 1024, found {}",
                                                   call.name, warp_size_, call.shape.threads)};
  }
  call_ = &call;
  block_ = block;
  n_threads_ = static_cast<int>(call.shape.threads);
  n_done_ = 0;
  failure_.clear();
  if (shared_bytes_ != call.shape.shared_bytes || shared_ == nullptr) {
    // Of exactly the requested size, so that AddressSanitizer sees an access past the end.
    shared_.reset(static_cast<std::byte*>(::operator new[](call.shape.shared_bytes, kSharedAlignment)));
    shared_bytes_ = call.shape.shared_bytes;
  }
  std::memset(shared_.get(), kPoison, shared_bytes_);
  warpgroups_.begin(shared_.get(), shared_bytes_, n_threads_);
  arrivals_.begin(shared_.get(), shared_bytes_);
  while (threads_.size() < call.shape.threads) {
    const auto index = static_cast<int>(threads_.size());
    Thread& thread = threads_.emplace_back();
    thread.fiber = std::make_unique<Fiber>(index);
    thread.index = index;
    thread.runner = this;
  }
  for (int i = 0; i < n_threads_; ++i) {
    Thread& thread = threads_[static_cast<std::size_t>(i)];
    thread.state = State::kReady;
    thread.copies.clear();
    thread.n_groups = 0;
    thread.has_waited_for_kernels = false;
    thread.n_barriers = 0;
    thread.n_warp_barriers = 0;
    thread.n_cluster_barriers = 0;
    thread.fiber->start(run_thread, &thread);
  }
  warps_.resize(static_cast<std::size_t>(n_threads_ / warp_size_));
  for (Warp& warp : warps_) {
    warp.lanes.assign(static_cast<std::size_t>(warp_size_), nullptr);
    warp.n_arrived = 0;
  }
  release_order(&begin_);
  return {};
}

void BlockRunner::run_thread(void* argument) {
  auto& thread = *static_cast<Thread*>(argument);
  BlockRunner& runner = *thread.runner;
  acquire_order(&runner.begin_);
  runner.call_->invoke(runner.call_->function, runner.call_->argument);
  if (!thread.copies.empty()) runner.fail("a thread ends while its asynchronous copies are under way");
  if (!thread.has_waited_for_kernels) runner.fail("a thread ends without waiting for earlier kernels");
  release_order(&runner.end_);
  ++runner.n_done_;
  thread.state = State::kDone;
}

BlockRunner::Turn BlockRunner::next_turn(int n) {
  const std::uint64_t round = round_++;
  if (order_ == ThreadOrder::kForward) return {.first = 0, .stride = 1, .n = n};
  if (order_ == ThreadOrder::kReverse) return {.first = n - 1, .stride = n - 1, .n = n};
  const std::uint64_t bits = random_bits(seed_, round);
  const auto first = static_cast<int>(bits % static_cast<std::uint64_t>(n));
  int stride = 1 + static_cast<int>((bits >> 32) % static_cast<std::uint64_t>(n));
  while (std::gcd(stride, n) != 1) ++stride;
  return {.first = first, .stride = stride % n, .n = n};
}

bool BlockRunner::run_round() {
  current_runner = this;
  const auto n_warps = static_cast<int>(warps_.size());
  bool progressed = false;
  Turn turn = next_turn(n_warps);
  for (int i = 0; i < n_warps && failure_.empty(); ++i) progressed |= run_warp(turn.take());
  if (failure_.empty()) progressed |= release_barrier();
  current_runner = nullptr;
  return progressed;
}

void BlockRunner::end() {
  acquire_order(&end_);
  failure_ = warpgroups_.end();
}

bool BlockRunner::run_warp(int warp) {
  bool progressed = false;
  for (bool ran = true; ran && failure_.empty();) {
    ran = false;
    Turn turn = next_turn(warp_size_);
    for (int i = 0; i < warp_size_ && failure_.empty(); ++i) {
      const int index = warp * warp_size_ + turn.take();
      Thread& thread = threads_[static_cast<std::size_t>(index)];
      if (thread.state == State::kForArrivals) look_for_arrivals(thread);
      if (thread.state != State::kReady) continue;
      running_ = index;
      thread.fiber->resume();
      ran = true;
    }
    progressed |= ran;
  }
  return progressed;
}

bool BlockRunner::release_barrier() {
  const auto live = std::span(threads_).first(static_cast<std::size_t>(n_threads_));
  const auto waits = [](const Thread& thread) { return thread.state == State::kAtBarrier; };
  if (n_done_ > 0 || !std::ranges::all_of(live, waits)) return false;
  const std::source_location& first = live.front().where;
  for (const Thread& thread : live) {
    if (!is_same_place(thread.where, first)) {
      failure_ = fmt::format("divergent barrier: thread 0 waits at {}, thread {} at {}", describe(first), thread.index,
                             describe(thread.where));
      return false;
    }
  }
  for (Thread& thread : live) thread.state = State::kReady;
  return true;
}

void BlockRunner::look_for_arrivals(Thread& thread) {
  std::string wrong;
  if (arrivals_.is_complete(thread.awaited, thread.awaited_parity, wrong)) thread.state = State::kReady;
  if (!wrong.empty()) failure_ = fmt::format("thread {}: {}", thread.index, wrong);
}

bool BlockRunner::is_at_cluster_barrier() const {
  return n_done_ == 0 &&
         std::ranges::all_of(std::span(threads_).first(static_cast<std::size_t>(n_threads_)),
                             [](const Thread& thread) { return thread.state == State::kAtClusterBarrier; });
}

void BlockRunner::leave_cluster_barrier() {
  for (Thread& thread : std::span(threads_).first(static_cast<std::size_t>(n_threads_))) thread.state = State::kReady;
}

bool BlockRunner::waits_for_arrivals() const {
  return std::ranges::any_of(std::span(threads_).first(static_cast<std::size_t>(n_threads_)),
                             [](const Thread& thread) { return thread.state == State::kForArrivals; });
}

void BlockRunner::begin_copy(std::size_t to, std::size_t bytes, std::size_t barrier) {
  if (std::string wrong = arrivals_.expect_copy(barrier); !wrong.empty()) failure_ = std::move(wrong);
  if (std::string wrong = warpgroups_.begin_copy(to, bytes); !wrong.empty()) failure_ = std::move(wrong);
  std::memset(shared_.get() + to, kPoison, bytes);
}

void BlockRunner::finish_copy(const std::byte* from, std::size_t to, std::size_t bytes, std::size_t barrier) {
  if (is_done()) {
    failure_ = "it ended while a copy to its shared memory was under way";
    return;
  }
  std::memcpy(shared_.get() + to, from, bytes);
  warpgroups_.finish_copy(to, bytes);
  release_order(&arrivals_.order_of(barrier));
  if (std::string wrong = arrivals_.bring(barrier, static_cast<std::int64_t>(bytes)); !wrong.empty()) {
    failure_ = std::move(wrong);
  }
}

std::string BlockRunner::describe_stuck() const {
  int n_in_warp = 0;
  int n_in_cluster = 0;
  const Thread* waiting = nullptr;
  for (int i = 0; i < n_threads_; ++i) {
    const Thread& thread = threads_[static_cast<std::size_t>(i)];
    n_in_cluster += thread.state == State::kAtClusterBarrier ? 1 : 0;
    if (thread.state != State::kForArrivals) continue;
    return fmt::format("thread {} waits at {} for arrivals that never come: {}", i, describe(thread.where),
                       arrivals_.describe(thread.awaited));
  }
  for (int i = 0; i < n_threads_; ++i) {
    const Thread& thread = threads_[static_cast<std::size_t>(i)];
    n_in_warp += thread.state == State::kInWarp ? 1 : 0;
    if (thread.state == State::kAtBarrier) waiting = &thread;
  }
  if (n_in_cluster > 0) {
    return fmt::format("divergent barrier of a cluster: {} of {} threads wait there, {} have ended", n_in_cluster,
                       n_threads_, n_done_);
  }
  if (waiting == nullptr) {
    return counted(n_in_warp, "thread waits for lanes of its warp that never come",
                   "threads wait for lanes of their warp that never come");
  }
  return fmt::format("divergent barrier: thread {} waits at {}, {} ended, {} for lanes of a warp", waiting->index,
                     describe(waiting->where), counted(n_done_, "thread has", "threads have"),
                     counted(n_in_warp, "waits", "wait"));
}

void BlockRunner::suspend(State state) {
  Thread& thread = threads_[static_cast<std::size_t>(running_)];
  thread.state = state;
  thread.fiber->suspend();
}

void BlockRunner::wait_for_earlier_kernels() {
  threads_[static_cast<std::size_t>(running_)].has_waited_for_kernels = true;
}

void BlockRunner::sync_block(std::source_location where) {
  Thread& thread = threads_[static_cast<std::size_t>(running_)];
  thread.where = where;
  OrderPlace* const place = &barrier_[thread.n_barriers++ % 2];
  release_order(place);
  suspend(State::kAtBarrier);
  acquire_order(place);
}

std::size_t BlockRunner::offset_of(const void* address) {
  check_in_shared(address, 1);
  return static_cast<std::size_t>(static_cast<const std::byte*>(address) - shared_.get());
}

void BlockRunner::sync_cluster(std::source_location where, OrderPlace* places) {
  meet_warp(
      warp_size_, &where,
      [](void* const* lanes, int n_lanes, int) {
        const auto* const first = static_cast<const std::source_location*>(lanes[0]);
        for (int i = 1; i < n_lanes; ++i) {
          if (is_same_place(*static_cast<const std::source_location*>(lanes[i]), *first)) continue;
          current().fail(fmt::format("divergent warp: its lanes come to the barrier of a cluster at {} and elsewhere",
                                     describe(*first)));
        }
      },
      0);
  Thread& thread = threads_[static_cast<std::size_t>(running_)];
  thread.where = where;
  OrderPlace* const place = &places[thread.n_cluster_barriers++ % 2];
  release_order(place);
  suspend(State::kAtClusterBarrier);
  acquire_order(place);
}

void BlockRunner::wait_for_phase(std::size_t barrier, int parity, std::source_location where) {
  Thread& thread = threads_[static_cast<std::size_t>(running_)];
  thread.where = where;
  thread.awaited = barrier;
  thread.awaited_parity = parity;
  std::string wrong;
  const bool is_complete = arrivals_.is_complete(barrier, parity, wrong);
  if (!wrong.empty()) fail(std::move(wrong));
  if (!is_complete) suspend(State::kForArrivals);
  acquire_order(&arrivals_.order_of(barrier));
}

void BlockRunner::meet_warp(int warp_size, void* mine, void (*work)(void* const*, int, int), int argument) {
  if (warp_size != warp_size_) fail(fmt::format("a kernel for warps of {} on a device of {}", warp_size, warp_size_));
  Warp& warp = warps_[static_cast<std::size_t>(running_ / warp_size_)];
  if (warp.n_arrived == 0) {
    warp.work = work;
    warp.argument = argument;
  } else if (warp.work != work || warp.argument != argument) {
    fail("divergent warp: its lanes wait for different operations");
  }
  warp.lanes[static_cast<std::size_t>(running_ % warp_size_)] = mine;
  if (++warp.n_arrived < warp_size_) {
    suspend(State::kInWarp);
    return;
  }
  work(warp.lanes.data(), warp_size_, argument);
  warp.n_arrived = 0;
  const int first = running_ / warp_size_ * warp_size_;
  for (int i = first; i < first + warp_size_; ++i) threads_[static_cast<std::size_t>(i)].state = State::kReady;
}

void BlockRunner::sync_warp(int warp_size) {
  Warp& warp = warps_[static_cast<std::size_t>(running_ / warp_size_)];
  Thread& thread = threads_[static_cast<std::size_t>(running_)];
  OrderPlace* const place = &warp.synced[thread.n_warp_barriers++ % 2];
  release_order(place);
  char nothing = 0;
  meet_warp(
      warp_size, &nothing, [](void* const*, int, int) {}, 0);
  acquire_order(place);
}

void* BlockRunner::shared_memory(std::size_t bytes) {
  if (bytes > shared_bytes_) {
    fail(fmt::format("expected {} bytes of shared memory, found {} in the launch", bytes, shared_bytes_));
  }
  return shared_.get();
}

void BlockRunner::check_in_shared(const void* address, std::size_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(shared_.get());
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  if (at >= begin && bytes <= shared_bytes_ && at - begin <= shared_bytes_ - bytes) return;
  fail(fmt::format("{} bytes at an address that is not in the block's shared memory", bytes));
}

void BlockRunner::copy_to_shared(void* to, const void* from, std::size_t bytes, bool in_range) {
  check_in_shared(to, bytes);
  check_aligned(to, bytes);
  if (in_range) check_aligned(from, bytes);
  std::memset(to, kPoison, bytes);
  note_store(to, bytes);
  Thread& thread = threads_[static_cast<std::size_t>(running_)];
  thread.copies.push_back({to, from, bytes, in_range, thread.n_groups});
}

void BlockRunner::note_store(const void* address, std::size_t bytes) {
  if (has_warpgroups_) warpgroups_.record_write(running_, address, bytes);
}

void BlockRunner::commit_copies() {
  ++threads_[static_cast<std::size_t>(running_)].n_groups;
}

void BlockRunner::wait_for_copies(int n_pending_groups) {
  Thread& thread = threads_[static_cast<std::size_t>(running_)];
  const int landed = thread.n_groups - n_pending_groups;
  std::erase_if(thread.copies, [&](const Copy& copy) {
    if (copy.group >= landed) return false;
    if (copy.in_range) {
      check_written(copy.from, copy.bytes);
      std::memcpy(copy.to, copy.from, copy.bytes);
    } else {
      std::memset(copy.to, 0, copy.bytes);
    }
    note_store(copy.to, copy.bytes);
    return true;
  });
}

void BlockRunner::fail(std::string what) {
  failure_ = fmt::format("thread {}: {}", running_, what);
  suspend(State::kDone);
}

int thread_index() {
  return BlockRunner::current().thread_index();
}
const Dim3& block_index() {
  return BlockRunner::current().block_index();
}
int n_threads() {
  return BlockRunner::current().n_threads();
}
void wait_for_earlier_kernels() {
  BlockRunner::current().wait_for_earlier_kernels();
}
void sync_block(std::source_location where) {
  BlockRunner::current().sync_block(where);
}
void sync_warp(int warp_size) {
  BlockRunner::current().sync_warp(warp_size);
}
void* shared_memory(std::size_t bytes) {
  return BlockRunner::current().shared_memory(bytes);
}
void check_aligned(const void* address, std::size_t alignment_bytes) {
  if (reinterpret_cast<std::uintptr_t>(address) % alignment_bytes == 0) return;
  BlockRunner::current().fail(
      fmt::format("an access of {} bytes at an address that is not a multiple of it", alignment_bytes));
}
void check_written(const void* address, std::size_t bytes) {
  if (!is_unwritten(address, bytes)) return;
  BlockRunner::current().fail(fmt::format("a load of {} bytes that nobody wrote", bytes));
}
void check_in_shared(const void* address, std::size_t bytes) {
  BlockRunner::current().check_in_shared(address, bytes);
}
void copy_to_shared(void* to, const void* from, std::size_t bytes, bool in_range) {
  BlockRunner::current().copy_to_shared(to, from, bytes, in_range);
}
void commit_copies() {
  BlockRunner::current().commit_copies();
}
void wait_for_copies(int n_pending_groups) {
  BlockRunner::current().wait_for_copies(n_pending_groups);
}
namespace {

void fail_unless_empty(BlockRunner& runner, std::string wrong) {
  if (!wrong.empty()) runner.fail(std::move(wrong));
}

}  // namespace

void init_arrivals(const void* barrier, int n_arrivals) {
  BlockRunner& runner = BlockRunner::current();
  fail_unless_empty(runner, runner.arrivals().init(runner.offset_of(barrier), n_arrivals, runner.thread_index()));
}
void show_barriers_to_cluster() {
  BlockRunner& runner = BlockRunner::current();
  runner.arrivals().show(runner.thread_index());
}
void arrive_expecting(const void* barrier, int n_bytes) {
  BlockRunner& runner = BlockRunner::current();
  const std::size_t at = runner.offset_of(barrier);
  release_order(&runner.arrivals().order_of(at));
  fail_unless_empty(runner, runner.arrivals().arrive(at, n_bytes, false));
}
void wait_for_phase(const void* barrier, int parity, std::source_location where) {
  BlockRunner& runner = BlockRunner::current();
  runner.wait_for_phase(runner.offset_of(barrier), parity, where);
}
void meet_warp(int warp_size, void* mine, void (*work)(void* const* lanes, int n_lanes, int argument), int argument) {
  BlockRunner::current().meet_warp(warp_size, mine, work, argument);
}

}  // namespace secondsource::gpu::shim
