#pragma once
// What matmul.cpp and mixture.cpp share: which kernel a weight takes, how its tiles are sliced for threads and panels,
// and how packed activations lie in the scratch memory.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/op.h"
#include "backend/weights.h"
#include "cpu/kernels/kernel_table.h"
#include "cpu/packed_weight.h"

namespace secondsource::cpu {

/// Tiles that one kernel call multiplies with a single row.
inline constexpr std::int64_t kOneRowTiles = 64;
/// Tiles that a kernel call takes otherwise: gate and up are finished together, and for several rows the kernels are
/// fastest with two.
inline constexpr std::int64_t kTilePair = 2;
/// Many rows in f32 go through the columns in passes of this many: 64 KiB of a tile, 48 KiB of a block of 12 rows.
inline constexpr std::int64_t kPassColumns = 1024;

/// The kernel for a weight of this encoding.
[[nodiscard]] Product product_of(WeightEncoding encoding, ActQuant act);

/// The table's kernel for a product of this many rows. Activations quantized to E4M3 or NVFP4 are packed in the type in which the kernel
/// reads activations that are not quantized.
[[nodiscard]] ProductKernel kernel_of(const KernelTable& table, Product product, ActQuant act, std::int64_t n_rows);

/// How many BF16 numbers add up to a weight of this product.
[[nodiscard]] int weight_pieces(Product product);

/// Bytes of a tile of n_columns columns that was unpacked for this product.
[[nodiscard]] std::int64_t unpacked_bytes(Product into, std::int64_t n_columns);

[[nodiscard]] std::size_t bytes_of(ActType act);

/// Columns of packed activations: those of the weight, padded to a multiple of the kernel's vec.
[[nodiscard]] std::int64_t packed_columns(std::int64_t k_padded, const ProductKernel& kernel);

/// Number of blocks that row_block_begin() cuts n_rows into.
[[nodiscard]] int n_row_blocks(std::int64_t n_rows, int max_rows);

/// How many items of `item_bytes` of weights a thread takes at once from a loop of `n_items`: enough bytes to be one stream for the
/// hardware prefetcher, but few enough that the last slice of a delayed thread holds up the others only a little.
[[nodiscard]] std::int64_t slice_items(std::int64_t n_items, std::int64_t item_bytes, std::int64_t n_threads);

/// The instruction set of a kernel of this table.
[[nodiscard]] const char* isa_of(const ProductKernel& kernel, const KernelTable& table);

/// The prefix of kernel names whose tiles were unpacked: "unpacked int8, ", or nothing.
[[nodiscard]] std::string unpacked_from(const PackedWeight& weight, const Unpacking& unpacking);

/// Tiles in memory, `tile_bytes` apart.
struct Tiles {
  const std::byte* first = nullptr;
  std::int64_t tile_bytes = 0;
};

/// Converts the first n_columns columns of `n_tiles` tiles by `unpacking` and returns the tiles in `panel`, or the original tiles if there
/// is nothing to convert. panel: n_tiles * unpacked_bytes(unpacking.into, n_columns), 64-byte aligned.
[[nodiscard]] Tiles unpack_tiles(const Unpacking& unpacking, const Tiles& tiles, std::int64_t n_tiles,
                                 std::int64_t n_columns, std::span<std::byte> panel);

/// The numbers of rows, up to most_rows, for which the need of scratch memory has to be computed. Fewer rows may need more memory than
/// many: they may take another kernel, unpack more tiles at a time, or be cut differently into blocks. Up to kUnpackFromRows every number
/// is in the list. Beyond that, only the cut into blocks depends on the number, and for one product what it is unpacked to; both change
/// only where one more block of rows is needed.
[[nodiscard]] std::vector<std::int64_t> row_counts_of_scratch(const KernelTable& table, Product product,
                                                              std::int64_t most_rows);

/// Packed activations of one matmul.
struct PackedActivations {
  float* row_scales = nullptr;  ///< [n_rows], of quantized activations
  std::byte* rows = nullptr;    ///< row blocks, one after the other
};

/// Bytes before PackedActivations::rows: one scale per row.
[[nodiscard]] std::size_t row_scales_bytes(std::int64_t n_rows);

/// Bytes of the scratch memory for n_rows packed rows of `row_bytes` each, with their scales before them and, after them, the bytes of one
/// step of a row, which kernels with tile registers may read.
[[nodiscard]] std::size_t activation_bytes(std::int64_t n_rows, std::size_t row_bytes);

/// Where the activations of `n_rows` rows lie in `scratch`.
[[nodiscard]] PackedActivations place_activations(std::span<std::byte> scratch, std::int64_t n_rows);

/// Rows that a kernel multiplies at once.
struct RowBlock {
  int first = 0;
  int n_rows = 0;
  const std::byte* activations = nullptr;  ///< packed
};

/// Block number `block` of the n_rows packed rows of a product, which begin at `rows`.
[[nodiscard]] RowBlock packed_row_block(const ProductKernel& kernel, std::int64_t k_padded, const std::byte* rows,
                                        std::int64_t n_rows, int block);

/// c[rows of a block, 16 * n_tiles], not yet scaled.
struct TileSums {
  const float* c = nullptr;
  std::int64_t first_tile = 0;
  std::int64_t n_tiles = 0;
  std::int64_t c_stride = 0;  ///< floats
};

}  // namespace secondsource::cpu
