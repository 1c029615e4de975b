#pragma once
// How a product of several rows is cut for kernels that multiply blocks (BlockKernel), so that each operand is read from a cache that keeps
// up with the tile registers:
//
//   row blocks   up to 32 rows, what the tile registers hold
//   group        the row blocks whose activations stay in the second-level cache while all weights are read
//   slice        the columns of those activations, where whole rows would leave room for few rows only
//   pass         the columns of a pair of weight tiles that stay in the first-level cache until all row blocks of the group are
//                multiplied with them
//
// Weights are read once per group, activations once per panel and slice.

#include <cstdint>

#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

/// The most steps of a pass. A step is 64 bytes of each row of a weight tile, so that these take 16 KiB of a tile. A pass over weights in
/// pieces has fewer steps.
inline constexpr std::int64_t kPassSteps = 16;

/// The most tiles of a panel whose sums are kept between two slices: with 256 rows they take 512 KiB.
inline constexpr std::int64_t kSlicedPanelTiles = 32;

struct BlockCut {
  int n_blocks = 0;
  int block_rows = 0;  ///< rows of the largest block
  int n_groups = 0;
  std::int64_t slice_steps = 0;  ///< a multiple of kPassSteps unless there is one slice only
  std::int64_t n_slices = 0;
  std::int64_t panel_tiles = 0;  ///< adjacent weight tiles that a thread takes at once; even

  /// The first block of a group; for n_groups, the number of all blocks.
  [[nodiscard]] int group_begin(int group) const { return static_cast<int>(std::int64_t{group} * n_blocks / n_groups); }
  /// The most blocks of a group.
  [[nodiscard]] int group_blocks() const { return (n_blocks + n_groups - 1) / n_groups; }
  /// How many floats of scratch memory a thread needs for sums: those of one pair of tiles, or with several slices those of all pairs of a
  /// panel, because they are kept from slice to slice.
  [[nodiscard]] std::int64_t panel_sums() const {
    return (n_slices == 1 ? 1 : kSlicedPanelTiles / 2) * group_blocks() * std::int64_t{kBlockSums};
  }
};

/// Cuts a product of n_rows rows with n_tiles weight tiles. A packed row of activations has n_steps steps of step_bytes bytes. cache_bytes:
/// the size of the second-level cache of one core.
[[nodiscard]] BlockCut cut_blocks(std::int64_t n_rows, std::int64_t n_steps, std::int64_t step_bytes,
                                  std::int64_t n_tiles, int n_threads, std::int64_t cache_bytes);

}  // namespace secondsource::cpu
