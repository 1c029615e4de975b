#pragma once
// Many rows times one weight by kernels that multiply several row blocks at once (BlockKernel), for a whole matmul and for each expert of
// a mixture. block_cut.h says how such a product is cut; the order of the loops is
//
//   for each slice of the columns              activations of a group: second-level cache
//     for each pair of weight tiles            of a panel
//       for each pass of the slice             weights: first-level cache
//         all row blocks of the group

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "cpu/block_cut.h"
#include "cpu/scratch.h"
#include "cpu/tile_product.h"

namespace secondsource::cpu {

/// The tiles of one matrix.
struct BlockWeight {
  const std::byte* tiles = nullptr;
  std::int64_t tile_bytes = 0;
  std::int64_t n_tiles = 0;
  std::int64_t k_padded = 0;
  const std::int32_t* row_sums = nullptr;  ///< sum_k of each row, where the kernel asks for it
};

class BlockProduct {
 public:
  /// `kernel` has a BlockKernel and takes kMaxRowBlock rows at once. n_rows: of the activations, at least 1.
  BlockProduct(const ProductKernel& kernel, const Unpacking& unpacking, const BlockWeight& weight, std::int64_t n_rows,
               int n_threads);

  /// Whether this many rows are multiplied in blocks. A product with a single row block is limited by reading weights, which is faster in
  /// whole tiles, because these are one stream. But where weights have to be unpacked, even one row block takes this path, which unpacks
  /// one pass at a time.
  [[nodiscard]] static bool takes(const ProductKernel& kernel, const Unpacking& unpacking, std::int64_t n_rows) {
    return kernel.blocks != nullptr && (n_rows > kernel.max_rows || unpacking.unpack != nullptr);
  }

  [[nodiscard]] const BlockCut& cut() const { return cut_; }
  /// Bytes of scratch memory that multiply() takes.
  [[nodiscard]] std::size_t scratch_bytes() const;

  /// Called with the sums of a row block and a pair of tiles, which are not yet scaled.
  using Finish = std::function<void(const TileSums&, const RowBlock&)>;
  struct Epilogue {
    Finish finish;
    /// The matrix that `finish` writes, [rows of the product][..], whose lines are prefetched before; null: nothing is.
    const float* outputs = nullptr;
    std::int64_t output_stride = 0;    ///< floats
    std::int64_t columns_of_pair = 0;  ///< of the outputs, that belong to a pair of tiles
  };
  /// Multiplies the row blocks of one group of the cut with tiles [first_tile, first_tile + n_tiles); first_tile is even. rows: all
  /// packed rows of the product. scratch: of the calling thread.
  void multiply(const std::byte* rows, int group, std::int64_t first_tile, std::int64_t n_tiles, ScratchCutter scratch,
                const Epilogue& epilogue) const;

 private:
  /// One or two adjacent tiles.
  struct TilePair {
    std::int64_t first_tile = 0;
    std::int64_t n_tiles = 0;
  };
  /// Packed columns, in steps.
  struct Slice {
    std::int64_t first_step = 0;
    std::int64_t end_step = 0;
  };
  /// The row blocks of a group.
  struct Group {
    const std::byte* rows = nullptr;  ///< all of the product's
    int first_block = 0;
    int n_blocks = 0;
  };

  [[nodiscard]] std::int64_t n_steps() const { return packed_columns(weight_.k_padded, kernel_) / kernel_.vec; }
  [[nodiscard]] std::size_t unpacked_bytes_of_pass() const;
  [[nodiscard]] RowBlock row_block(const Group& group, int index) const;
  /// Where the columns from `first_column` on begin in each tile of a pair; null for a missing second tile.
  [[nodiscard]] std::array<const std::byte*, 2> packed_slices(const TilePair& pair, std::int64_t first_column) const;
  /// The outputs of a pair that are prefetched during a pass: in each of its last two passes, half of the rows of every block.
  [[nodiscard]] OutputRows outputs_of_pass(const Epilogue& epilogue, const Group& group, const TilePair& pair,
                                           const Slice& pass) const;
  /// sums (+)= the rows of a group times a pair of tiles, over one slice. unpacked: scratch memory of unpacked_bytes_of_pass() bytes.
  void multiply_pair(const Group& group, const TilePair& pair, const Slice& slice, std::span<std::byte> unpacked,
                     float* sums, const Epilogue& epilogue) const;
  void finish_pair(const Group& group, const TilePair& pair, float* sums, const Finish& finish) const;

  ProductKernel kernel_;
  Unpacking unpacking_;
  BlockWeight weight_;
  std::int64_t n_rows_;
  BlockCut cut_;
};

}  // namespace secondsource::cpu
