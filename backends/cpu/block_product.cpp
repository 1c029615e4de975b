#include "cpu/block_product.h"

#include <algorithm>

#include "core/checked.h"
#include "cpu/cpu_features.h"

namespace secondsource::cpu {
namespace {

constexpr std::int64_t kLineBytes = 64;

/// Bytes of the packed activations of a row that a step of vec columns multiplies.
std::int64_t step_bytes(const ProductKernel& kernel) {
  return kernel.vec * act_bytes(kernel.act);
}

/// Steps of a pass. Weights in pieces take more memory for each step, so that a pass has fewer.
std::int64_t pass_steps(const Unpacking& unpacking) {
  return kPassSteps / weight_pieces(unpacking.into);
}

}  // namespace

BlockProduct::BlockProduct(const ProductKernel& kernel, const Unpacking& unpacking, const BlockWeight& weight,
                           std::int64_t n_rows, int n_threads)
    : kernel_(kernel),
      unpacking_(unpacking),
      weight_(weight),
      n_rows_(n_rows),
      cut_(cut_blocks(n_rows, n_steps(), step_bytes(kernel), weight.n_tiles, n_threads, second_level_cache_bytes())) {}

std::size_t BlockProduct::unpacked_bytes_of_pass() const {
  if (unpacking_.unpack == nullptr) return 0;
  return static_cast<std::size_t>(kTilePair * kPassSteps * kLineBytes * kTileRows);
}

std::size_t BlockProduct::scratch_bytes() const {
  return ScratchCutter::bytes_for<std::byte>(unpacked_bytes_of_pass()) +
         ScratchCutter::bytes_for<float>(static_cast<std::size_t>(cut_.panel_sums()));
}

RowBlock BlockProduct::row_block(const Group& group, int index) const {
  return packed_row_block(kernel_, weight_.k_padded, group.rows, n_rows_, group.first_block + index);
}

std::array<const std::byte*, 2> BlockProduct::packed_slices(const TilePair& pair, std::int64_t first_column) const {
  // A tile's bytes are spread evenly over its columns.
  const std::byte* const first =
      weight_.tiles + pair.first_tile * weight_.tile_bytes + first_column * weight_.tile_bytes / weight_.k_padded;
  return {first, pair.n_tiles == 2 ? first + weight_.tile_bytes : nullptr};
}

OutputRows BlockProduct::outputs_of_pass(const Epilogue& epilogue, const Group& group, const TilePair& pair,
                                         const Slice& pass) const {
  const std::int64_t n_steps_left = n_steps() - pass.first_step;
  const std::int64_t n_passes_left = ceil_divide(n_steps_left, pass_steps(unpacking_));
  if (epilogue.outputs == nullptr || n_passes_left > 2) return {};
  const float* const first = epilogue.outputs + row_block(group, 0).first * epilogue.output_stride +
                             pair.first_tile / kTilePair * epilogue.columns_of_pair;
  constexpr auto kFloatBytes = std::int64_t{sizeof(float)};
  const int half = cut_.block_rows / 2;
  return {.first = reinterpret_cast<const std::byte*>(first),
          .row_bytes = epilogue.columns_of_pair * kFloatBytes,
          .stride_bytes = epilogue.output_stride * kFloatBytes,
          .begin_row = n_passes_left == 2 || pass.first_step == 0 ? 0 : half,
          .end_row = n_passes_left == 2 ? half : cut_.block_rows};
}

void BlockProduct::multiply_pair(const Group& group, const TilePair& pair, const Slice& slice,
                                 std::span<std::byte> unpacked, float* sums, const Epilogue& epilogue) const {
  const std::int64_t n_pass_steps = pass_steps(unpacking_);
  for (std::int64_t step = slice.first_step; step < slice.end_step; step += n_pass_steps) {
    const std::int64_t first_column = step * kernel_.vec;
    const std::int64_t end_step = std::min(step + n_pass_steps, slice.end_step);
    const std::int64_t n_columns = std::min(end_step * kernel_.vec, weight_.k_padded) - first_column;
    std::array<ActivationBlock, kMaxGroupBlocks> blocks;
    for (int i = 0; i < group.n_blocks; ++i) {
      const RowBlock block = row_block(group, i);
      blocks[static_cast<std::size_t>(i)] = {block.activations + step * step_bytes(kernel_) * block.n_rows,
                                             block.n_rows};
    }
    BlockArgs args{.blocks = blocks.data(),
                   .n_blocks = group.n_blocks,
                   .block_rows = cut_.block_rows,
                   .c = sums,
                   .accumulate = step > 0,
                   .outputs = outputs_of_pass(epilogue, group, pair, {step, end_step})};
    const std::array<const std::byte*, 2> packed = packed_slices(pair, first_column);
    const std::int64_t packed_bytes = n_columns * weight_.tile_bytes / weight_.k_padded;
    for (int t = 0; t < pair.n_tiles; ++t) {
      args.tiles[t] = packed[static_cast<std::size_t>(t)];
      if (unpacking_.unpack == nullptr) continue;
      std::byte* const to = unpacked.data() + t * kPassSteps * kLineBytes * kTileRows;
      unpacking_.unpack(args.tiles[t], n_columns, to);
      args.tiles[t] = to;
    }
    args.slice_bytes = unpacking_.unpack == nullptr ? packed_bytes : unpacked_bytes(unpacking_.into, n_columns);
    // The weights to prefetch: the next columns of this pair or, after the last pass, the first columns of the slice in the next pair.
    const bool is_last_pass = end_step == slice.end_step;
    const std::array<const std::byte*, 2> next =
        is_last_pass ? packed_slices({pair.first_tile + kTilePair, pair.n_tiles}, slice.first_step * kernel_.vec)
                     : packed_slices(pair, end_step * kernel_.vec);
    if (!is_last_pass || pair.first_tile + kTilePair + pair.n_tiles <= weight_.n_tiles) {
      std::ranges::copy(next, args.next_tiles);
      args.next_bytes = packed_bytes;
    }
    kernel_.blocks->multiply(args);
  }
}

void BlockProduct::finish_pair(const Group& group, const TilePair& pair, float* sums, const Finish& finish) const {
  for (int i = 0; i < group.n_blocks; ++i) {
    const RowBlock block = row_block(group, i);
    float* const c = sums + i * std::int64_t{kBlockSums};
    if (kernel_.blocks->convert != nullptr) {
      kernel_.blocks->convert(c, block.n_rows, static_cast<int>(pair.n_tiles),
                              weight_.row_sums + pair.first_tile * kTileRows);
    }
    finish({c, pair.first_tile, pair.n_tiles, kBlockSumStride}, block);
  }
}

void BlockProduct::multiply(const std::byte* rows, int group_index, std::int64_t first_tile, std::int64_t n_tiles,
                            ScratchCutter scratch, const Epilogue& epilogue) const {
  const int first_block = cut_.group_begin(group_index);
  const Group group{
      .rows = rows, .first_block = first_block, .n_blocks = cut_.group_begin(group_index + 1) - first_block};
  const std::span<std::byte> unpacked = scratch.take<std::byte>(unpacked_bytes_of_pass());
  const std::span<float> sums = scratch.take<float>(static_cast<std::size_t>(cut_.panel_sums()));
  const std::int64_t end_tile = first_tile + n_tiles;
  kernel_.blocks->configure(cut_.block_rows);
  for (std::int64_t step = 0; step < n_steps(); step += cut_.slice_steps) {
    const Slice slice{step, std::min(n_steps(), step + cut_.slice_steps)};
    for (std::int64_t tile = first_tile; tile < end_tile; tile += kTilePair) {
      const TilePair pair{tile, std::min(kTilePair, end_tile - tile)};
      const std::int64_t kept = cut_.n_slices == 1 ? 0 : (tile - first_tile) / kTilePair;
      float* const c = sums.data() + kept * cut_.group_blocks() * std::int64_t{kBlockSums};
      multiply_pair(group, pair, slice, unpacked, c, epilogue);
      if (slice.end_step == n_steps()) finish_pair(group, pair, c, epilogue.finish);
    }
  }
  kernel_.blocks->release();
}

}  // namespace secondsource::cpu
