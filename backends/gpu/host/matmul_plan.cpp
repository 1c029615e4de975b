#include "gpu/kernels/matmul_plan.h"

#include <algorithm>

#include "core/checked.h"

namespace secondsource::gpu {
namespace {

std::int64_t n_blocks(const MatmulExtent& extent, MatmulTiles tiles) {
  return std::int64_t{ceil_divide(extent.n_rows, block_rows(tiles))} * ceil_divide(extent.n_outputs, block_cols(tiles));
}

}  // namespace

MatmulPlan plan_matmul(const MatmulExtent& extent, std::int32_t n_processors) {
  MatmulPlan plan;
  if (extent.n_rows <= block_rows(MatmulTiles::k16x64)) {
    plan.tiles = MatmulTiles::k16x64;
  } else if (extent.n_rows > block_rows(MatmulTiles::k64x64) &&
             4 * n_blocks(extent, MatmulTiles::k128x128) >= 3 * std::int64_t{n_processors}) {
    plan.tiles = MatmulTiles::k128x128;
  }
  // Two blocks a processor hide each other's waits; the large tiles fill a processor alone.
  const std::int64_t wanted = plan.tiles == MatmulTiles::k128x128 ? 1 : std::int64_t{2} * n_processors;
  const std::int64_t splits = std::clamp<std::int64_t>(
      wanted / n_blocks(extent, plan.tiles), 1, std::clamp(extent.n_steps / kMinSplitSteps, 1, kMaxMatmulSplits));
  plan.split_steps = ceil_divide(extent.n_steps, static_cast<std::int32_t>(splits));
  plan.n_splits = ceil_divide(extent.n_steps, plan.split_steps);
  return plan;
}

}  // namespace secondsource::gpu
