// The part of MatmulRunner for kernels that multiply several row blocks at once (BlockKernel). block_cut.h says how a product is
// cut; the order of the loops is
//
//   for each slice of the columns              activations of a group: second-level cache
//     for each pair of weight tiles            of a panel
//       for each pass of the slice             weights: first-level cache
//         all row blocks of the group

#include <algorithm>
#include <array>

#include "core/checked.h"
#include "cpu/cpu_features.h"
#include "cpu/matmul.h"

namespace secondsource::cpu {
namespace {

constexpr std::int64_t kLineBytes = 64;

/// Bytes of the packed activations of a row that a step of vec columns multiplies.
std::int64_t step_bytes(const ProductKernel& kernel) {
  return kernel.vec * act_bytes(kernel.act);
}

/// Steps of a pass. Those of weights in pieces take more room.
std::int64_t pass_steps(const Unpacking& unpacking) {
  return kPassSteps / weight_pieces(unpacking.into);
}

}  // namespace

BlockCut MatmulRunner::cut_of(const Plan& plan, const PackedWeight& weight, std::int64_t n_rows) const {
  const std::int64_t n_steps = packed_columns(weight.k_padded, plan.kernel) / plan.kernel.vec;
  return cut_blocks(n_rows, n_steps, step_bytes(plan.kernel), weight.n_tiles, pool_.n_threads(),
                    second_level_cache_bytes());
}

std::size_t MatmulRunner::unpacked_pass_bytes(const Plan& plan) {
  if (plan.unpacking.unpack == nullptr) return 0;
  return static_cast<std::size_t>(kTilePair * kPassSteps * kLineBytes * kTileRows);
}

std::size_t MatmulRunner::block_scratch_bytes(const Plan& plan, const PackedWeight& weight, std::int64_t n_rows) const {
  return ScratchCutter::bytes_for<std::byte>(unpacked_pass_bytes(plan)) +
         ScratchCutter::bytes_for<float>(static_cast<std::size_t>(cut_of(plan, weight, n_rows).panel_sums()));
}

std::array<const std::byte*, 2> MatmulRunner::packed_slices(const PackedWeight& weight, const TilePair& pair,
                                                            std::int64_t first_column) {
  // A tile's bytes are spread evenly over its columns.
  const std::byte* const first =
      weight.tiles + pair.first_tile * weight.tile_bytes + first_column * weight.tile_bytes / weight.k_padded;
  return {first, pair.n_tiles == 2 ? first + weight.tile_bytes : nullptr};
}

void MatmulRunner::multiply_pair(const Call& call, const BlockGroup& group, const TilePair& pair, const Slice& slice,
                                 std::span<std::byte> unpacked, float* sums) const {
  const PackedWeight& weight = call.weight;
  const ProductKernel& kernel = call.plan.kernel;
  const Unpacking& unpacking = call.plan.unpacking;
  const std::int64_t n_pass_steps = pass_steps(unpacking);
  for (std::int64_t step = slice.first_step; step < slice.end_step; step += n_pass_steps) {
    const std::int64_t first_column = step * kernel.vec;
    const std::int64_t end_step = std::min(step + n_pass_steps, slice.end_step);
    const std::int64_t n_columns = std::min(end_step * kernel.vec, weight.k_padded) - first_column;
    std::array<ActivationBlock, kMaxGroupBlocks> blocks;
    for (int i = 0; i < group.n_blocks; ++i) {
      const RowBlock block = row_block(call, group.first_block + i);
      blocks[static_cast<std::size_t>(i)] = {block.activations + step * step_bytes(kernel) * block.n_rows,
                                             block.n_rows};
    }
    BlockArgs args{.blocks = blocks.data(),
                   .n_blocks = group.n_blocks,
                   .block_rows = group.block_rows,
                   .c = sums,
                   .accumulate = step > 0};
    const std::array<const std::byte*, 2> packed = packed_slices(weight, pair, first_column);
    const std::int64_t packed_bytes = n_columns * weight.tile_bytes / weight.k_padded;
    for (int t = 0; t < pair.n_tiles; ++t) {
      args.tiles[t] = packed[static_cast<std::size_t>(t)];
      if (unpacking.unpack == nullptr) continue;
      std::byte* const to = unpacked.data() + t * kPassSteps * kLineBytes * kTileRows;
      unpacking.unpack(args.tiles[t], n_columns, to);
      args.tiles[t] = to;
    }
    args.slice_bytes = unpacking.unpack == nullptr ? packed_bytes : unpacked_bytes(unpacking.into, n_columns);
    // What comes next: the following columns of this pair, or else the same ones of the next pair.
    const bool is_last_pass = end_step == slice.end_step;
    const std::array<const std::byte*, 2> next =
        is_last_pass ? packed_slices(weight, {pair.first_tile + kTilePair, pair.n_tiles}, slice.first_step * kernel.vec)
                     : packed_slices(weight, pair, end_step * kernel.vec);
    if (!is_last_pass || pair.first_tile + kTilePair + pair.n_tiles <= weight.n_tiles) {
      std::ranges::copy(next, args.next_tiles);
      args.next_bytes = packed_bytes;
    }
    kernel.blocks->multiply(args);
  }
}

void MatmulRunner::finish_pair(const Call& call, const BlockGroup& group, const TilePair& pair, float* sums) const {
  const BlockKernel& kernel = *call.plan.kernel.blocks;
  for (int i = 0; i < group.n_blocks; ++i) {
    const RowBlock block = row_block(call, group.first_block + i);
    float* const c = sums + i * std::int64_t{kBlockSums};
    if (kernel.convert != nullptr) {
      kernel.convert(c, block.n_rows, static_cast<int>(pair.n_tiles),
                     call.weight.row_sums.data() + pair.first_tile * kTileRows);
    }
    finish_block(call, {c, pair.first_tile, pair.n_tiles, kBlockSumStride}, block);
  }
}

void MatmulRunner::multiply_in_blocks(const Call& call, const BlockCut& cut, const Panel& panel, int group_index,
                                      int thread) const {
  const int first_block = cut.group_begin(group_index);
  const BlockGroup group{.first_block = first_block,
                         .n_blocks = cut.group_begin(group_index + 1) - first_block,
                         .block_rows = cut.block_rows};
  ScratchCutter cutter(scratch_.of_thread(thread));
  const std::span<std::byte> unpacked = cutter.take<std::byte>(unpacked_pass_bytes(call.plan));
  const std::span<float> sums = cutter.take<float>(static_cast<std::size_t>(cut.panel_sums()));
  const std::int64_t n_steps = packed_columns(call.weight.k_padded, call.plan.kernel) / call.plan.kernel.vec;
  const std::int64_t end_tile = panel.first_tile + panel.n_tiles;
  call.plan.kernel.blocks->configure(cut.block_rows);
  for (std::int64_t step = 0; step < n_steps; step += cut.slice_steps) {
    const Slice slice{step, std::min(n_steps, step + cut.slice_steps)};
    for (std::int64_t tile = panel.first_tile; tile < end_tile; tile += kTilePair) {
      const TilePair pair{tile, std::min(kTilePair, end_tile - tile)};
      const std::int64_t kept = cut.n_slices == 1 ? 0 : (tile - panel.first_tile) / kTilePair;
      float* const c = sums.data() + kept * cut.group_blocks() * std::int64_t{kBlockSums};
      multiply_pair(call, group, pair, slice, unpacked, c);
      if (slice.end_step == n_steps) finish_pair(call, group, pair, c);
    }
  }
  call.plan.kernel.blocks->release();
}

void MatmulRunner::run_in_blocks(const Call& call) {
  const BlockCut cut = cut_of(call.plan, call.weight, call.n_rows);
  const std::int64_t n_tiles = call.weight.n_tiles;
  if (cut.n_blocks == 1) {
    // Bound by memory: one stream per thread, as in MatmulRunner::run().
    const std::int64_t n_pairs = ceil_divide(n_tiles, kTilePair);
    pool_.announce_next(stream_after(call.op.weight));
    pool_.run_ranges(n_pairs, slice_items(n_pairs, kTilePair * call.weight.tile_bytes, pool_.n_threads()),
                     [&](std::int64_t first, std::int64_t end, int thread) {
                       const std::int64_t end_tile = std::min(n_tiles, end * kTilePair);
                       for (std::int64_t tile = first * kTilePair; tile < end_tile; tile += kSlicedPanelTiles) {
                         multiply_in_blocks(call, cut, {tile, std::min(kSlicedPanelTiles, end_tile - tile)}, 0, thread);
                       }
                     });
    return;
  }
  const std::int64_t n_panels = ceil_divide(n_tiles, cut.panel_tiles);
  // A thread's range of chunks has as few groups as possible, so that their activations stay in its cache.
  pool_.run(n_panels * cut.n_groups, [&](std::int64_t chunk, int thread) {
    const std::int64_t first_tile = chunk % n_panels * cut.panel_tiles;
    multiply_in_blocks(call, cut, {first_tile, std::min(cut.panel_tiles, n_tiles - first_tile)},
                       static_cast<int>(chunk / n_panels), thread);
  });
}

}  // namespace secondsource::cpu
