#include "cpu/block_cut.h"

#include <algorithm>

#include "core/checked.h"
#include "cpu/tile_product.h"

namespace secondsource::cpu {
namespace {

// Half of the second-level cache is for activations, the rest for sums, for weights that are prefetched or unpacked, and for
// the outputs. With 256 rows of 2048 BF16 columns (1 MiB of 2) a Xeon with AMX reached 2.56 Tflop/s of one core's 3.87, with
// 320 rows 2.1 and with 384 rows 1.9 (November 2026).
constexpr std::int64_t kActivationShare = 2;
// A step of a block takes 64 cycles, and a group of n blocks reads 2048 bytes of weights for each of its steps: 2048 / n bytes in 64
// cycles. Five blocks are few, but several slices would need memory for sums and read the activations once per panel. So where there are
// several slices, a group has eight blocks.
constexpr std::int64_t kLeastGroupBlocks = 5;
constexpr std::int64_t kSlicedGroupBlocks = 8;
constexpr std::int64_t kPanelTiles = 16;
// With fewer chunks a thread that finishes early would wait too long for the others.
constexpr std::int64_t kChunksPerThread = 4;

}  // namespace

BlockCut cut_blocks(std::int64_t n_rows, std::int64_t n_steps, std::int64_t step_bytes, std::int64_t n_tiles,
                    int n_threads, std::int64_t cache_bytes) {
  const std::int64_t block_step_bytes = std::int64_t{kMaxRowBlock} * step_bytes;
  BlockCut cut;
  cut.n_blocks = n_row_blocks(static_cast<int>(n_rows), kMaxRowBlock);
  cut.block_rows = static_cast<int>(ceil_divide<std::int64_t>(n_rows, cut.n_blocks));
  const std::int64_t step_blocks = std::max<std::int64_t>(1, cache_bytes / kActivationShare / block_step_bytes);
  const auto steps_of = [step_blocks, &cut](std::int64_t n_blocks) {
    return step_blocks / std::min<std::int64_t>(cut.n_blocks, n_blocks);
  };
  const std::int64_t sliced_steps = std::max(kPassSteps, steps_of(kSlicedGroupBlocks) / kPassSteps * kPassSteps);
  cut.n_slices = n_steps <= steps_of(kLeastGroupBlocks) ? 1 : ceil_divide(n_steps, sliced_steps);
  cut.slice_steps = cut.n_slices == 1 ? n_steps : round_up(ceil_divide(n_steps, cut.n_slices), kPassSteps);
  cut.n_slices = ceil_divide(n_steps, cut.slice_steps);
  const std::int64_t group_blocks =
      std::clamp<std::int64_t>(step_blocks / cut.slice_steps, 1, std::min(cut.n_blocks, kMaxGroupBlocks));
  cut.n_groups = static_cast<int>(ceil_divide<std::int64_t>(cut.n_blocks, group_blocks));
  cut.panel_tiles = cut.n_slices == 1 ? kPanelTiles : kSlicedPanelTiles;
  while (cut.panel_tiles > kTilePair &&
         ceil_divide(n_tiles, cut.panel_tiles) * cut.n_groups < kChunksPerThread * n_threads) {
    cut.panel_tiles /= 2;
  }
  return cut;
}

}  // namespace secondsource::cpu
