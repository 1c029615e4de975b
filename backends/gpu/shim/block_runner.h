#pragma once
// Runs the threads of one block of a kernel, each on a fiber, on the calling OS thread: a round of all of them at a time, between which
// the other blocks of its cluster go on (cluster_runner.h).

#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "gpu/device.h"
#include "gpu/shim/arrival_barriers.h"
#include "gpu/shim/fiber.h"
#include "gpu/shim/order_place.h"
#include "gpu/shim/warpgroup.h"

namespace secondsource::gpu::shim {

class ClusterRunner;

/// Which thread runs first when several can. A missing barrier often shows in one order only.
enum class ThreadOrder : std::uint8_t { kForward, kReverse, kSeeded };

/// "tiled_matmul.cpp:57:3".
[[nodiscard]] std::string describe(const std::source_location& where);
[[nodiscard]] bool is_same_place(const std::source_location& a, const std::source_location& b);

class BlockRunner {
 public:
  /// `number`: of the block in its cluster.
  BlockRunner(ClusterRunner& cluster, int number, ThreadOrder order, std::uint64_t seed, int warp_size,
              bool has_warpgroups);
  ~BlockRunner();

  /// Fills shared memory with NaN and prepares the threads. Errors: kInternal for a number of threads that no block can have.
  Result<void> begin(const KernelCall& call, const Dim3& block);
  /// Runs every thread until it waits. False if no thread could run.
  bool run_round();
  [[nodiscard]] bool is_done() const { return n_done_ == n_threads_; }
  /// Checks for errors of the kernel that show only after the last thread has ended.
  void end();
  /// The error that was found in the kernel; "" if there is none.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  /// The text, preceded by the names of kernel and block.
  [[nodiscard]] std::string located(const std::string& what) const;
  /// What the threads wait for that never comes.
  [[nodiscard]] std::string describe_stuck() const;
  [[nodiscard]] bool waits_for_arrivals() const;
  /// True if all threads wait at the barrier of the cluster.
  [[nodiscard]] bool is_at_cluster_barrier() const;
  void leave_cluster_barrier();
  /// A copy to this block's shared memory begins, and arrives.
  void begin_copy(std::size_t to, std::size_t bytes, std::size_t barrier);
  void finish_copy(const std::byte* from, std::size_t to, std::size_t bytes, std::size_t barrier);

  /// The runner of the block that is running on this OS thread.
  static BlockRunner& current();

  // Called by the running GPU thread, through thread.h:
  [[nodiscard]] int thread_index() const { return running_; }
  [[nodiscard]] const Dim3& block_index() const { return block_; }
  [[nodiscard]] int n_threads() const { return n_threads_; }
  void wait_for_earlier_kernels();
  void sync_block(std::source_location where);
  void sync_warp(int warp_size);
  void meet_warp(int warp_size, void* mine, void (*work)(void* const*, int, int), int argument);
  void* shared_memory(std::size_t bytes);
  void check_in_shared(const void* address, std::size_t bytes);
  void copy_to_shared(void* to, const void* from, std::size_t bytes, bool in_range);
  void commit_copies();
  void wait_for_copies(int n_pending_groups);
  [[nodiscard]] Warpgroups& warpgroups() { return warpgroups_; }
  void note_store(const void* address, std::size_t bytes);
  [[nodiscard]] ArrivalBarriers& arrivals() { return arrivals_; }
  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] ClusterRunner& cluster() { return cluster_; }
  [[nodiscard]] std::size_t offset_of(const void* address);
  /// `places`: two, of the cluster.
  void sync_cluster(std::source_location where, OrderPlace* places);
  void wait_for_phase(std::size_t barrier, int parity, std::source_location where);
  /// Ends the block; does not return.
  void fail(std::string what);

 private:
  struct FreeShared {
    void operator()(std::byte* shared) const;
  };
  enum class State : std::uint8_t { kReady, kAtBarrier, kAtClusterBarrier, kForArrivals, kInWarp, kDone };
  struct Copy {
    void* to;
    const void* from;
    std::size_t bytes;
    bool in_range;
    int group;
  };
  struct Thread {
    std::unique_ptr<Fiber> fiber;
    State state = State::kReady;
    std::source_location where;
    std::vector<Copy> copies;
    int n_groups = 0;  ///< committed copy groups
    int index = 0;
    bool has_waited_for_kernels = false;
    int n_barriers = 0;       ///< barriers of the block that this thread has reached
    int n_warp_barriers = 0;  ///< barriers of its warp that this thread has reached
    int n_cluster_barriers = 0;
    std::size_t awaited = 0;  ///< the barrier of arrivals that this thread waits at
    int awaited_parity = 0;
    BlockRunner* runner = nullptr;
  };
  /// Visits each number in [0, n) once, beginning with `first`.
  struct Turn {
    int first;
    int stride;  ///< in [0, n), without a common divisor with n
    int n;
    int take() {
      const int taken = first;
      first += stride;
      if (first >= n) first -= n;
      return taken;
    }
  };
  struct Warp {
    std::vector<void*> lanes;
    int n_arrived = 0;
    void (*work)(void* const*, int, int) = nullptr;
    int argument = 0;
    OrderPlace synced[2];
  };

  static void run_thread(void* thread);
  bool run_warp(int warp);
  bool release_barrier();
  /// Makes a thread ready again if the phase that it waits for is complete.
  void look_for_arrivals(Thread& thread);
  void suspend(State state);
  /// The order in which the next round goes through n warps or lanes.
  [[nodiscard]] Turn next_turn(int n);

  ClusterRunner& cluster_;
  int number_;
  ThreadOrder order_;
  std::uint64_t seed_;
  int warp_size_;
  bool has_warpgroups_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::unique_ptr<std::byte[], FreeShared> shared_;
  std::size_t shared_bytes_ = 0;
  Warpgroups warpgroups_;
  ArrivalBarriers arrivals_;
  const KernelCall* call_ = nullptr;
  Dim3 block_;
  int n_threads_ = 0;
  int n_done_ = 0;
  int running_ = -1;
  std::uint64_t round_ = 0;
  std::string failure_;
  OrderPlace begin_;
  OrderPlace end_;
  OrderPlace barrier_[2];
};

}  // namespace secondsource::gpu::shim
