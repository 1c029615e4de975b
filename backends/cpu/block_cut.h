#pragma once
// How a product of several rows is cut for kernels that multiply blocks (BlockKernel), so that each operand is where the tiles
// can have it fast enough:
//
//   row blocks   up to 32 rows, what the tile registers hold
//   group        the row blocks whose activations stay in the second-level cache while all weights pass by
//   slice        the columns of those activations, where a whole row of them would leave room for few rows only
//   pass         the columns of a pair of weight tiles that stay in the first-level cache while a group passes by
//
// Weights are read once per group, activations once per panel and slice.

#include <cstdint>

#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

/// The most columns of a pass, in steps of 64 bytes of each row: 16 KiB of a weight tile. Weights in pieces take fewer.
inline constexpr std::int64_t kPassSteps = 16;

/// The most tiles of a panel whose sums are kept between two slices: with 256 rows they take 512 KiB.
inline constexpr std::int64_t kSlicedPanelTiles = 32;

struct BlockCut {
  int n_blocks = 0;
  int block_rows = 0;  ///< of the largest
  int n_groups = 0;
  std::int64_t slice_steps = 0;  ///< a multiple of kPassSteps unless there is one slice only
  std::int64_t n_slices = 0;
  std::int64_t panel_tiles = 0;  ///< adjacent weight tiles that a thread takes at once; even

  /// The first block of a group; of n_groups, the end.
  [[nodiscard]] int group_begin(int group) const { return static_cast<int>(std::int64_t{group} * n_blocks / n_groups); }
  /// The most blocks of a group.
  [[nodiscard]] int group_blocks() const { return (n_blocks + n_groups - 1) / n_groups; }
  /// Floats of scratch memory that a thread needs for sums: those of a pair of tiles, or between two slices those of all
  /// pairs of a panel.
  [[nodiscard]] std::int64_t panel_sums() const {
    return (n_slices == 1 ? 1 : kSlicedPanelTiles / 2) * group_blocks() * std::int64_t{kBlockSums};
  }
};

/// A product of n_rows rows with n_tiles weight tiles whose packed columns take n_steps steps, for each of which a row has step_bytes
/// bytes of activations. cache_bytes: the second-level cache of one core.
[[nodiscard]] BlockCut cut_blocks(std::int64_t n_rows, std::int64_t n_steps, std::int64_t step_bytes,
                                  std::int64_t n_tiles, int n_threads, std::int64_t cache_bytes);

}  // namespace secondsource::cpu
