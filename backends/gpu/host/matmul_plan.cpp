#include "gpu/kernels/matmul_plan.h"

#include <algorithm>
#include <optional>

#include "core/checked.h"

namespace secondsource::gpu {
namespace {

std::int64_t n_blocks(const MatmulExtent& extent, MatmulTiles tiles) {
  return std::int64_t{ceil_divide(extent.n_rows, block_rows(tiles))} * ceil_divide(extent.n_outputs, block_cols(tiles));
}

/// The largest tiles that the device has and that give at least three quarters of its processors a block.
std::optional<MatmulTiles> large_tiles(const MatmulDevice& device, const auto& n_blocks_of) {
  for (const MatmulTiles tiles : {MatmulTiles::kWgmma128x256, MatmulTiles::kWgmma128x128, MatmulTiles::k128x128}) {
    if (!device.has_large_tiles || by_warpgroups(tiles) != device.has_warpgroups) continue;
    if (4 * n_blocks_of(tiles) >= 3 * std::int64_t{device.n_processors}) return tiles;
  }
  return std::nullopt;
}

MatmulTiles choose_tiles(const MatmulExtent& extent, const MatmulDevice& device) {
  if (extent.n_rows <= block_rows(MatmulTiles::k16x64)) return MatmulTiles::k16x64;
  if (extent.n_rows <= block_rows(MatmulTiles::k64x64)) return MatmulTiles::k64x64;
  return large_tiles(device, [&](MatmulTiles tiles) { return n_blocks(extent, tiles); }).value_or(MatmulTiles::k64x64);
}

}  // namespace

MatmulPlan plan_of(MatmulTiles tiles, const MatmulExtent& extent) {
  return {.tiles = tiles, .n_splits = 1, .split_steps = ceil_divide(extent.row_bytes, step_bytes(tiles))};
}

MatmulPlan plan_matmul(const MatmulExtent& extent, const MatmulDevice& device) {
  MatmulPlan plan = plan_of(choose_tiles(extent, device), extent);
  const std::int32_t n_steps = plan.split_steps;
  // Two blocks per processor hide each other's latency; a block of large tiles fills a processor alone.
  const std::int64_t wanted = is_large(plan.tiles) ? 1 : std::int64_t{2} * device.n_processors;
  const std::int64_t splits = std::clamp<std::int64_t>(wanted / n_blocks(extent, plan.tiles), 1,
                                                       std::clamp(n_steps / kMinSplitSteps, 1, kMaxMatmulSplits));
  plan.split_steps = std::min(round_up(ceil_divide(n_steps, static_cast<std::int32_t>(splits)), kSplitStep), n_steps);
  plan.n_splits = ceil_divide(n_steps, plan.split_steps);
  return plan;
}

MatmulTiles plan_grouped(const GroupedExtent& extent, const MatmulDevice& device) {
  const std::int32_t rows_each = ceil_divide(extent.n_rows, extent.n_experts);
  if (rows_each <= block_rows(MatmulTiles::k16x64)) return MatmulTiles::k16x64;
  if (rows_each <= block_rows(MatmulTiles::k64x64)) return MatmulTiles::k64x64;
  const MatmulExtent expert{.n_rows = rows_each, .n_outputs = extent.n_expert_rows};
  return large_tiles(device, [&](MatmulTiles tiles) { return extent.n_experts * n_blocks(expert, tiles); })
      .value_or(MatmulTiles::k64x64);
}

std::int32_t max_grouped_tiles(const GroupedExtent& extent, MatmulTiles tiles) {
  // The last tile of every expert that has rows may be padding except for one row.
  const std::int64_t rows = block_rows(tiles);
  const std::int64_t n_chosen = std::min(extent.n_rows, extent.n_experts);
  return static_cast<std::int32_t>((extent.n_rows + n_chosen * (rows - 1)) / rows);
}

}  // namespace secondsource::gpu
