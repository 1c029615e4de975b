#include "gpu/shim/cluster_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/random.h"
#include "gpu/shim/sanitizers.h"
#include "gpu/shim/tensor_map.h"
#include "gpu/shim/thread.h"

namespace secondsource::gpu::shim {
namespace {

/// In seeded order a copy arrives after one in this many rounds, chosen at random, even if threads can go on.
constexpr std::uint64_t kRoundsPerEarlyCopy = 8;

std::size_t copied_bytes(const TiledMatrix& matrix) {
  return static_cast<std::size_t>(matrix.tile_rows) * kTensorLineBytes;
}

}  // namespace

ClusterRunner::ClusterRunner(ThreadOrder order, std::uint64_t seed, int warp_size, bool has_warpgroups)
    : order_(order), seed_(seed), warp_size_(warp_size), has_warpgroups_(has_warpgroups) {}

Result<void> ClusterRunner::run(const KernelCall& call, const Dim3& first) {
  n_blocks_ = static_cast<int>(call.shape.cluster_blocks);
  copies_.clear();
  while (static_cast<int>(blocks_.size()) < n_blocks_) {
    blocks_.push_back(std::make_unique<BlockRunner>(*this, static_cast<int>(blocks_.size()), order_, seed_, warp_size_,
                                                    has_warpgroups_));
  }
  for (int i = 0; i < n_blocks_; ++i) {
    SS_TRY_VOID(
        blocks_[static_cast<std::size_t>(i)]->begin(call, {first.x + static_cast<std::uint32_t>(i), first.y, first.z}));
  }
  return run_blocks();
}

Result<void> ClusterRunner::run_blocks() {
  for (;;) {
    const std::uint64_t bits = random_bits(seed_, round_++);
    const bool backwards = order_ == ThreadOrder::kReverse || (order_ == ThreadOrder::kSeeded && bits % 2 == 1);
    bool progressed = false;
    bool is_done = true;
    for (int i = 0; i < n_blocks_; ++i) {
      BlockRunner& block = *blocks_[static_cast<std::size_t>(backwards ? n_blocks_ - 1 - i : i)];
      if (block.is_done()) continue;
      is_done = false;
      progressed |= block.run_round();
      SS_TRY_VOID(error_of(block));
    }
    if (is_done) break;
    progressed |= release_barrier();
    const bool is_early = order_ == ThreadOrder::kSeeded && bits / 2 % kRoundsPerEarlyCopy == 0;
    if (!progressed || is_early) progressed |= finish_copy();
    for (int i = 0; i < n_blocks_; ++i) SS_TRY_VOID(error_of(*blocks_[static_cast<std::size_t>(i)]));
    if (!progressed) return Error{ErrorCode::kInternal, describe_stuck()};
  }
  if (!copies_.empty()) {
    return Error{ErrorCode::kInternal, blocks_[0]->located("its cluster ended while a copy to it was under way")};
  }
  for (int i = 0; i < n_blocks_; ++i) {
    BlockRunner& block = *blocks_[static_cast<std::size_t>(i)];
    block.end();
    SS_TRY_VOID(error_of(block));
  }
  return {};
}

Result<void> ClusterRunner::error_of(const BlockRunner& block) const {
  if (block.failure().empty()) return {};
  return Error{ErrorCode::kInternal, block.located(block.failure())};
}

BlockRunner* ClusterRunner::running_block(int number) {
  if (number < 0 || number >= n_blocks_) return nullptr;
  BlockRunner& block = *blocks_[static_cast<std::size_t>(number)];
  return block.is_done() ? nullptr : &block;
}

bool ClusterRunner::release_barrier() {
  for (int i = 0; i < n_blocks_; ++i) {
    if (!blocks_[static_cast<std::size_t>(i)]->is_at_cluster_barrier()) return false;
  }
  for (int i = 0; i < n_blocks_; ++i) blocks_[static_cast<std::size_t>(i)]->leave_cluster_barrier();
  return true;
}

void ClusterRunner::begin_copy(const TiledMatrix& matrix, int col, int row, unsigned blocks, std::size_t to,
                               std::size_t barrier) {
  release_order(&copied_);
  for (int i = 0; i < n_blocks_; ++i) {
    if ((blocks >> i & 1U) == 0) continue;
    blocks_[static_cast<std::size_t>(i)]->begin_copy(to, copied_bytes(matrix), barrier);
    copies_.push_back({matrix, col, row, i, to, barrier});
  }
}

bool ClusterRunner::finish_copy() {
  if (copies_.empty()) return false;
  std::size_t chosen = 0;
  if (order_ == ThreadOrder::kReverse) chosen = copies_.size() - 1;
  if (order_ == ThreadOrder::kSeeded) chosen = random_bits(seed_, round_++) % copies_.size();
  const TileCopy copy = copies_[chosen];
  copies_.erase(copies_.begin() + static_cast<std::ptrdiff_t>(chosen));
  acquire_order(&copied_);
  alignas(16) std::array<std::byte, std::size_t{kMostTensorRows} * kTensorLineBytes> tile;
  copy_tile(copy.matrix, copy.col, copy.row, tile.data());
  blocks_[static_cast<std::size_t>(copy.block)]->finish_copy(tile.data(), copy.to, copied_bytes(copy.matrix),
                                                             copy.barrier);
  return true;
}

std::string ClusterRunner::describe_stuck() const {
  // A block whose threads wait for arrivals may wait because of an error in another block, which is described if there is one.
  const BlockRunner* stuck = nullptr;
  for (int i = 0; i < n_blocks_; ++i) {
    const BlockRunner& block = *blocks_[static_cast<std::size_t>(i)];
    if (block.is_done() || block.is_at_cluster_barrier()) continue;
    if (stuck == nullptr || stuck->waits_for_arrivals()) stuck = &block;
  }
  if (stuck == nullptr) {
    for (int i = 0; i < n_blocks_; ++i) {
      const BlockRunner& block = *blocks_[static_cast<std::size_t>(i)];
      if (!block.is_done())
        return block.located("it waits at the barrier of a cluster of which another block has ended");
    }
    return "no block is left";
  }
  return stuck->located(stuck->describe_stuck());
}

namespace {

/// The block whose shared memory a thread reaches. It must not have ended.
BlockRunner& other_block(BlockRunner& own, int number) {
  BlockRunner* const other = own.cluster().running_block(number);
  if (other == nullptr)
    own.fail(fmt::format("it reaches block {} of its cluster, which has ended or is not there", number));
  return *other;
}

}  // namespace

int block_of_cluster() {
  return BlockRunner::current().number();
}
void sync_cluster(std::source_location where) {
  BlockRunner& runner = BlockRunner::current();
  runner.sync_cluster(where, runner.cluster().barrier_places());
}

void arrive_at(const void* barrier, int block) {
  BlockRunner& runner = BlockRunner::current();
  const std::size_t at = runner.offset_of(barrier);
  BlockRunner& other = other_block(runner, block);
  if (&other == &runner) release_order(&runner.arrivals().order_of(at));
  std::string wrong = other.arrivals().arrive(at, 0, block != runner.number());
  if (!wrong.empty()) runner.fail(std::move(wrong));
}
void copy_tile(void* to, const TensorMap& map, int col, int row, const void* barrier, unsigned blocks) {
  BlockRunner& runner = BlockRunner::current();
  check_aligned(&map, kTensorMapAlignment);
  const auto matrix = decode(map);
  if (!matrix) {
    runner.fail("a copy of a tile without a map that this device has made");
    return;
  }
  const std::size_t n_bytes = static_cast<std::size_t>(matrix->tile_rows) * kTensorLineBytes;
  runner.check_in_shared(to, n_bytes);
  const std::size_t at = runner.offset_of(to);
  constexpr std::size_t kSwizzleBytes = 1024;  // the pattern depends on these bits of the address
  if (at % kSwizzleBytes != 0) runner.fail(fmt::format("a tile at byte {}, no multiple of {}", at, kSwizzleBytes));
  for (int block = 0; blocks >> block != 0; ++block) {
    if ((blocks >> block & 1U) != 0) (void)other_block(runner, block);
  }
  runner.cluster().begin_copy(*matrix, col, row, blocks, at, runner.offset_of(barrier));
}

}  // namespace secondsource::gpu::shim
