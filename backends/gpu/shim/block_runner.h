#pragma once
// Runs the threads of one block of a kernel, each on a fiber, on the calling OS thread.

#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "gpu/device.h"
#include "gpu/shim/fiber.h"
#include "gpu/shim/warpgroup.h"

namespace secondsource::gpu::shim {

/// An object whose address orders fibers for ThreadSanitizer (release_order, acquire_order). Repeated barriers alternate
/// between two of them, so that a thread arriving at the next barrier is not ordered before one still leaving the last.
struct OrderPlace {
  char place = 0;
};

/// Which thread runs first when several can. A missing barrier often shows in one order only.
enum class ThreadOrder : std::uint8_t { kForward, kReverse, kSeeded };

/// "tiled_matmul.cpp:57:3".
[[nodiscard]] std::string describe(const std::source_location& where);
[[nodiscard]] bool is_same_place(const std::source_location& a, const std::source_location& b);

class BlockRunner {
 public:
  BlockRunner(ThreadOrder order, std::uint64_t seed, int warp_size, bool has_warpgroups);
  ~BlockRunner();

  /// Fills shared memory with NaN, then runs the block. Errors: kInternal, naming the kernel, the block and the mistake of
  /// its threads.
  Result<void> run(const KernelCall& call, const Dim3& block);

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
  /// Ends the block; does not return.
  void fail(std::string what);

 private:
  struct FreeShared {
    void operator()(std::byte* shared) const;
  };
  enum class State : std::uint8_t { kReady, kAtBarrier, kInWarp, kDone };
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
  void prepare(const KernelCall& call, const Dim3& block);
  Result<void> run_threads();
  bool run_warp(int warp);
  bool release_barrier();
  [[nodiscard]] std::string describe_stuck() const;
  void suspend(State state);
  /// The order in which the next round goes through n warps or lanes.
  [[nodiscard]] Turn next_turn(int n);

  ThreadOrder order_;
  std::uint64_t seed_;
  int warp_size_;
  bool has_warpgroups_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::unique_ptr<std::byte[], FreeShared> shared_;
  std::size_t shared_bytes_ = 0;
  Warpgroups warpgroups_;
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
