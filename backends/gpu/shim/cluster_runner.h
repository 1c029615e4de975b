#pragma once
// Runs the blocks of one cluster (portable/cluster.h) on the calling OS thread, one round of each block in turn. In most launches a
// cluster is a single block. A copied tile arrives only when no thread of the cluster can go on; in seeded order some tiles arrive earlier.

#include <cstdint>
#include <memory>
#include <vector>

#include "gpu/shim/block_runner.h"

namespace secondsource::gpu::shim {

class ClusterRunner {
 public:
  ClusterRunner(ThreadOrder order, std::uint64_t seed, int warp_size, bool has_warpgroups);

  /// Runs the cluster whose first block this is. Errors: kInternal, naming the kernel, the block and the mistake of its threads.
  Result<void> run(const KernelCall& call, const Dim3& first);

  // Called by the running block:
  /// None if the cluster has no such block, or if its threads have ended.
  [[nodiscard]] BlockRunner* running_block(int number);
  /// Two places, between which the cluster's barriers alternate.
  [[nodiscard]] OrderPlace* barrier_places() { return barrier_; }
  /// `to` and `barrier`: offsets in the shared memory of each of the blocks.
  void begin_copy(const TiledMatrix& matrix, int col, int row, unsigned blocks, std::size_t to, std::size_t barrier);

 private:
  /// A copy that has not arrived yet at one of its destination blocks. A copy to several blocks is one TileCopy for each.
  struct TileCopy {
    TiledMatrix matrix;
    int col;
    int row;
    int block;
    std::size_t to;
    std::size_t barrier;
  };

  Result<void> run_blocks();
  [[nodiscard]] Result<void> error_of(const BlockRunner& block) const;
  bool release_barrier();
  /// Lets one copy arrive; false if none is under way.
  bool finish_copy();
  [[nodiscard]] std::string describe_stuck() const;

  ThreadOrder order_;
  std::uint64_t seed_;
  int warp_size_;
  bool has_warpgroups_;
  std::vector<std::unique_ptr<BlockRunner>> blocks_;  ///< at least as many as the cluster has
  int n_blocks_ = 1;                                  ///< of the cluster
  std::vector<TileCopy> copies_;
  OrderPlace copied_;
  OrderPlace barrier_[2];
  std::uint64_t round_ = 0;
};

}  // namespace secondsource::gpu::shim
