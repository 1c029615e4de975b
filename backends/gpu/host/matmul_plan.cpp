#include "gpu/kernels/matmul_plan.h"

#include <algorithm>

#include "core/checked.h"

namespace secondsource::gpu {
namespace {

// The expected time of a plan on devices with warpgroups. With tiles of warpgroups a processor of an H100 takes in 53 to 59 bytes/ns of
// both operands in BF16, whatever the tile, the number of rows and K (docs/gpu-results.md). So the fastest plan is the one whose busiest
// processor takes in the fewest bytes, unless reading the weight from memory takes longer. The unit of all costs is therefore a byte that a
// processor takes in: a cost in time is given as the bytes that a processor could take in meanwhile. The constants for the start of a
// block, for the kernel that adds partial sums, and for tiles of 64 x 64 are guesses that agree with what was timed.

/// From a block's start until its first step has arrived, 1 us.
constexpr std::int64_t kStartBytes = 64 << 10;
/// For launching the kernel that adds the sums of blocks that share K, and for waiting until all of them are done, 4 us.
constexpr std::int64_t kCombineBytes = 256 << 10;
/// Tiles of 64 x 64, whose warps load their own fragments, take twice as long per byte.
constexpr std::int64_t kFragmentFactor = 2;
/// Memory brings each of the 132 processors of an H100 23 bytes/ns (3090 GB/s for all). So a byte from memory costs as much as 2.4 bytes
/// that a processor takes in.
constexpr std::int64_t kMemoryTenths = 24;

/// The work of a plan: blocks of a size that is the same for all.
struct Work {
  std::int64_t n_blocks = 0;
  std::int32_t n_rows = 0;   ///< of x in a tile; padding is not loaded
  std::int32_t n_steps = 0;  ///< of a block
};

std::int64_t bytes_of_busiest(MatmulTiles tiles, const Work& work, const MatmulDevice& device) {
  const std::int64_t rows = std::min(work.n_rows, block_rows(tiles));
  const std::int64_t step =
      (rows + block_cols(tiles)) * step_bytes(tiles) * (by_warpgroups(tiles) ? 1 : kFragmentFactor);
  const std::int64_t sums = rows * block_cols(tiles) * std::int64_t{sizeof(float)};
  return ceil_divide(work.n_blocks, std::int64_t{device.n_processors}) * (work.n_steps * step + sums + kStartBytes);
}

std::int64_t n_blocks(const MatmulExtent& extent, MatmulTiles tiles) {
  return std::int64_t{ceil_divide(extent.n_rows, block_rows(tiles))} * ceil_divide(extent.n_outputs, block_cols(tiles));
}

std::int64_t cost(const MatmulPlan& plan, const MatmulExtent& extent, const MatmulDevice& device) {
  const std::int64_t blocks = bytes_of_busiest(
      plan.tiles,
      {.n_blocks = n_blocks(extent, plan.tiles) * plan.n_splits, .n_rows = extent.n_rows, .n_steps = plan.split_steps},
      device);
  const std::int64_t weight_bytes = std::int64_t{extent.n_outputs} * extent.row_bytes;
  const std::int64_t product = std::max(blocks, weight_bytes / device.n_processors * kMemoryTenths / 10);
  if (plan.n_splits == 1) return product;
  const std::int64_t outputs = std::int64_t{extent.n_rows} * extent.n_outputs * std::int64_t{sizeof(float)};
  return product + kCombineBytes + (plan.n_splits + 1) * outputs / device.n_processors;
}

/// Whether cost() and bytes_of_busiest() apply. They do not where operands are decoded, which takes longer per byte.
bool has_costs(const MatmulDevice& device) {
  return device.has_warpgroups && device.has_large_tiles && device.copies_weight;
}

/// A guess for more than 16 rows: 64 x 64 up to 64 rows, and for more the largest tiles that give three quarters of the processors a block.
MatmulTiles guess_tiles(std::int32_t n_rows, const MatmulDevice& device, const auto& n_blocks_of) {
  if (n_rows <= block_rows(MatmulTiles::k64x64) || !device.has_large_tiles) return MatmulTiles::k64x64;
  for (const MatmulTiles tiles : {MatmulTiles::kWgmma128x256, MatmulTiles::kWgmma128x128, MatmulTiles::k128x128}) {
    if (by_warpgroups(tiles) != device.has_warpgroups) continue;
    if (4 * n_blocks_of(tiles) >= 3 * std::int64_t{device.n_processors}) return tiles;
  }
  return MatmulTiles::k64x64;
}

/// The plan with these tiles. Blocks share K if there are too few tiles to fill the device.
MatmulPlan split_plan(MatmulTiles tiles, const MatmulExtent& extent, const MatmulDevice& device) {
  MatmulPlan plan = plan_of(tiles, extent);
  const std::int32_t n_steps = plan.split_steps;
  // Two blocks per processor hide each other's latency; a block of large tiles fills a processor alone.
  const std::int64_t wanted = is_large(tiles) ? 1 : 2;
  const std::int64_t splits = std::clamp<std::int64_t>(wanted * device.n_processors / n_blocks(extent, tiles), 1,
                                                       std::clamp(n_steps / kMinSplitSteps, 1, kMaxMatmulSplits));
  plan.split_steps = std::min(round_up(ceil_divide(n_steps, static_cast<std::int32_t>(splits)), kSplitStep), n_steps);
  plan.n_splits = ceil_divide(n_steps, plan.split_steps);
  return plan;
}

}  // namespace

MatmulPlan plan_of(MatmulTiles tiles, const MatmulExtent& extent) {
  return {.tiles = tiles, .n_splits = 1, .split_steps = ceil_divide(extent.row_bytes, step_bytes(tiles))};
}

MatmulPlan plan_stream_k(const MatmulExtent& extent, std::int32_t n_processors) {
  constexpr MatmulTiles kTiles = MatmulTiles::kStreamK128x256;
  return {.tiles = kTiles,
          .n_splits = 1,
          .split_steps = kMinSplitSteps,
          .n_blocks = std::max(n_processors, ceil_divide(extent.n_rows, block_rows(kTiles)))};
}

MatmulPlan plan_clusters(MatmulTiles tiles, const MatmulExtent& extent, std::int32_t n_processors) {
  const std::int32_t n_row_tiles = ceil_divide(extent.n_rows, block_rows(tiles));
  const std::int32_t n_panels = ceil_divide(extent.n_outputs, block_cols(tiles));
  const std::int32_t n_pairs =
      n_row_tiles > 1 ? ceil_divide(n_row_tiles, kClusterBlocks) * n_panels : ceil_divide(n_panels, kClusterBlocks);
  MatmulPlan plan = plan_of(tiles, extent);
  plan.n_blocks = kClusterBlocks * std::clamp(n_processors / kClusterBlocks, 1, n_pairs);
  return plan;
}

StreamKScratch stream_k_scratch(const MatmulExtent& extent, const MatmulPlan& plan) {
  const auto n_sums =
      static_cast<std::size_t>(block_rows(plan.tiles)) * static_cast<std::size_t>(block_cols(plan.tiles));
  return {.partial_bytes = static_cast<std::size_t>(plan.n_blocks) * kStreamKParts * n_sums * sizeof(float),
          .n_counters = static_cast<std::int32_t>(n_blocks(extent, plan.tiles))};
}

MatmulPlan plan_matmul(const MatmulExtent& extent, const MatmulDevice& device) {
  if (extent.n_rows <= block_rows(MatmulTiles::k16x64)) return split_plan(MatmulTiles::k16x64, extent, device);
  if (!has_costs(device)) {
    const MatmulTiles tiles =
        guess_tiles(extent.n_rows, device, [&](MatmulTiles one) { return n_blocks(extent, one); });
    return split_plan(tiles, extent, device);
  }
  MatmulPlan best = plan_of(MatmulTiles::kWgmma128x128, extent);
  // A plan replaces the best plan so far if its cost is lower. If its blocks share K, its cost must be a tenth lower, because the cost of
  // adding the partial sums is a guess.
  const auto consider = [&](const MatmulPlan& plan) {
    const std::int64_t tenths = plan.n_splits > 1 ? 9 : 10;
    if (10 * cost(plan, extent, device) < tenths * cost(best, extent, device)) best = plan;
  };
  consider(plan_of(MatmulTiles::kWgmma128x256, extent));
  for (const MatmulTiles tiles : {MatmulTiles::kWgmma128x128, MatmulTiles::kWgmma128x256, MatmulTiles::k64x64}) {
    consider(split_plan(tiles, extent, device));
  }
  return best;
}

MatmulTiles plan_grouped(const GroupedExtent& extent, const MatmulDevice& device) {
  const MatmulExtent expert{.n_rows = ceil_divide(extent.n_rows, extent.n_experts),
                            .n_outputs = extent.n_expert_rows,
                            .row_bytes = extent.row_bytes};
  const auto n_blocks_of = [&](MatmulTiles tiles) { return extent.n_experts * n_blocks(expert, tiles); };
  if (expert.n_rows <= block_rows(MatmulTiles::k16x64)) return MatmulTiles::k16x64;
  if (!has_costs(device)) return guess_tiles(expert.n_rows, device, n_blocks_of);
  const auto cost_of = [&](MatmulTiles tiles) {
    return bytes_of_busiest(
        tiles, {.n_blocks = n_blocks_of(tiles), .n_rows = expert.n_rows, .n_steps = plan_of(tiles, expert).split_steps},
        device);
  };
  return std::ranges::min({MatmulTiles::kWgmma128x128, MatmulTiles::kWgmma128x256, MatmulTiles::k64x64}, {}, cost_of);
}

std::int32_t max_grouped_tiles(const GroupedExtent& extent, MatmulTiles tiles) {
  // The last tile of every expert that has rows may be padding except for one row.
  const std::int64_t rows = block_rows(tiles);
  const std::int64_t n_chosen = std::min(extent.n_rows, extent.n_experts);
  return static_cast<std::int32_t>((extent.n_rows + n_chosen * (rows - 1)) / rows);
}

}  // namespace secondsource::gpu
