#pragma once
// How a matrix product is divided into blocks. The host chooses a plan when a step is compiled; the kernels follow it.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace secondsource::gpu {

/// Products with up to this many rows of x use matvec, larger ones use tiles.
inline constexpr std::int32_t kMatvecRows = 4;

/// Output tile of a block: rows of x by rows of the weight.
enum class MatmulTiles : std::uint8_t {
  k16x64,
  k64x64,
  k128x128,
  kWgmma128x128,
  kWgmma128x256,
  kStreamK128x256,  ///< blocks have equal shares of the K steps of all tiles, whichever tiles these belong to (stream_k_matmul.cpp)
  kCluster128x128,  ///< the tensor memory accelerator copies, for two blocks at once (cluster_matmul.cpp)
  kCluster128x256,
};
inline constexpr MatmulTiles kAllMatmulTiles[] = {MatmulTiles::k16x64,          MatmulTiles::k64x64,
                                                  MatmulTiles::k128x128,        MatmulTiles::kWgmma128x128,
                                                  MatmulTiles::kWgmma128x256,   MatmulTiles::kStreamK128x256,
                                                  MatmulTiles::kCluster128x128, MatmulTiles::kCluster128x256};

/// The spelling of the option `tiles`, and of kernel names in reports.
[[nodiscard]] constexpr std::string_view to_string(MatmulTiles tiles) {
  constexpr std::string_view kNames[] = {"16x64",        "64x64",          "128x128",        "wgmma128x128",
                                         "wgmma128x256", "streamk128x256", "cluster128x128", "cluster128x256"};
  return kNames[static_cast<std::size_t>(tiles)];
}

/// Tiles of blocks in clusters.
[[nodiscard]] constexpr bool in_clusters(MatmulTiles tiles) {
  return tiles == MatmulTiles::kCluster128x128 || tiles == MatmulTiles::kCluster128x256;
}
/// Tiles that have a kernel of their own and are used only where the option `tiles` asks for them, since no GPU has run them yet. These
/// kernels compute products of one weight, which they multiply as it is stored, and have no split K.
[[nodiscard]] constexpr bool is_on_request(MatmulTiles tiles) {
  return tiles == MatmulTiles::kStreamK128x256 || in_clusters(tiles);
}
[[nodiscard]] constexpr std::int32_t block_rows(MatmulTiles tiles) {
  return tiles == MatmulTiles::k16x64 ? 16 : tiles == MatmulTiles::k64x64 ? 64 : 128;
}
[[nodiscard]] constexpr std::int32_t block_cols(MatmulTiles tiles) {
  const bool is_wide = tiles == MatmulTiles::kWgmma128x256 || tiles == MatmulTiles::kStreamK128x256 ||
                       tiles == MatmulTiles::kCluster128x256;
  return is_wide ? 256 : block_rows(tiles) == 128 ? 128 : 64;
}
/// Computed by wgmma; only on devices with warpgroups.
[[nodiscard]] constexpr bool by_warpgroups(MatmulTiles tiles) {
  return tiles == MatmulTiles::kWgmma128x128 || tiles == MatmulTiles::kWgmma128x256 ||
         tiles == MatmulTiles::kStreamK128x256 || in_clusters(tiles);
}
/// Tiles of which one block fills a multiprocessor.
[[nodiscard]] constexpr bool is_large(MatmulTiles tiles) {
  return block_rows(tiles) == 128;
}
/// Bytes of a row of x, and of the weight, per K step.
[[nodiscard]] constexpr std::int32_t step_bytes(MatmulTiles tiles) {
  return by_warpgroups(tiles) ? 128 : 64;
}

struct MatmulPlan {
  MatmulTiles tiles = MatmulTiles::k64x64;
  std::int32_t n_splits = 1;     ///< blocks that share K; a second kernel adds their sums
  std::int32_t split_steps = 1;  ///< K steps per split; with kStreamK128x256 the fewest of a share
  std::int32_t n_blocks = 0;     ///< blocks of the grid, with tiles that are is_on_request(); else 0
};

/// The extents of a product that its plan depends on.
struct MatmulExtent {
  std::int32_t n_rows = 0;     ///< most rows of x
  std::int32_t n_outputs = 0;  ///< rows of the weight
  std::int32_t row_bytes = 0;  ///< bytes of a row of x, and of the weight, in the type that is multiplied
};

/// The device properties that a plan depends on.
struct MatmulDevice {
  std::int32_t n_processors = 1;
  bool has_warpgroups = false;
  bool has_large_tiles = true;  ///< tiles of 128 rows may be used for this weight
  bool copies_weight = true;    ///< the weight is stored in the type that is multiplied: BF16, or int8 with int8 x
};

/// Chooses the tiles of a product, and whether blocks share K, in slices of at least kMinSplitSteps except the last one. Up to 16 rows get
/// tiles of 16 x 64. For more rows, where warpgroups multiply weights that are copied as they are stored, it chooses the tiles and splits
/// with the least expected time, by what was measured on an H100. Otherwise it guesses: up to 64 rows get tiles of 64 x 64, and more rows
/// the largest tiles that give at least three quarters of the processors a block. `./dev gpu` times the choices side by side.
[[nodiscard]] MatmulPlan plan_matmul(const MatmulExtent& extent, const MatmulDevice& device);
/// The plan with these tiles, which must not be is_on_request(), and without split K.
[[nodiscard]] MatmulPlan plan_of(MatmulTiles tiles, const MatmulExtent& extent);
/// The plan with kStreamK128x256: a block for each processor, or one for each tile of rows where these are more.
[[nodiscard]] MatmulPlan plan_stream_k(const MatmulExtent& extent, std::int32_t n_processors);
/// The plan with tiles that are in_clusters(): a block for each processor, or fewer for fewer tiles, in clusters of kClusterBlocks.
[[nodiscard]] MatmulPlan plan_clusters(MatmulTiles tiles, const MatmulExtent& extent, std::int32_t n_processors);

/// The blocks of a cluster. Their tiles have different rows of x and the same rows of the weight; in a step for at most one tile of rows,
/// the same rows of x and different rows of the weight.
inline constexpr std::int32_t kClusterBlocks = 2;
/// The rows of x, and of the weight, that one copy brings. It takes kClusterBlocks copies to bring those of a tile.
inline constexpr std::int32_t kClusterXRows = block_rows(MatmulTiles::kCluster128x256) / kClusterBlocks;
[[nodiscard]] constexpr std::int32_t cluster_weight_rows(MatmulTiles tiles) {
  return block_cols(tiles) / kClusterBlocks;
}

/// The most parts of tiles that a block of kStreamK128x256 stores: one at the beginning of its share and one at its end.
inline constexpr int kStreamKParts = 2;
/// What the blocks of a plan with kStreamK128x256 need beside the product's operands.
struct StreamKScratch {
  std::size_t partial_bytes = 0;  ///< MatmulArguments::partial
  std::int32_t n_counters = 0;    ///< MatmulArguments::n_arrived
};
[[nodiscard]] StreamKScratch stream_k_scratch(const MatmulExtent& extent, const MatmulPlan& plan);

/// The extents of a mixture's product that its plan depends on. A row is a (token, expert slot) pair.
struct GroupedExtent {
  std::int32_t n_rows = 0;  ///< most rows, over all experts
  std::int32_t n_experts = 0;
  std::int32_t n_expert_rows = 0;  ///< rows of an expert's weight
  std::int32_t row_bytes = 0;      ///< as in MatmulExtent
};

/// The tiles for all experts' products, if all experts get equally many rows: chosen as plan_matmul() does, but no blocks share K. Neither
/// choice was timed.
[[nodiscard]] MatmulTiles plan_grouped(const GroupedExtent& extent, const MatmulDevice& device);
/// Upper bound on the number of tiles for any distribution of rows to experts. Experts do not share tiles.
[[nodiscard]] std::int32_t max_grouped_tiles(const GroupedExtent& extent, MatmulTiles tiles);

/// The fewest steps of a split. Tiles that stream their weights first fill four stages of x and four windows of the weight: 8 to 16 steps.
inline constexpr std::int32_t kMinSplitSteps = 16;
/// Splits are multiples of this many steps, which tiles that stream their weights (streamed_tile.h) take as one step.
inline constexpr std::int32_t kSplitStep = 4;
inline constexpr std::int32_t kMaxMatmulSplits = 16;

}  // namespace secondsource::gpu
