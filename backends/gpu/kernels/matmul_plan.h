#pragma once
// How a matrix product is cut into blocks: chosen on the host when a step is compiled, followed by the kernels.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace secondsource::gpu {

/// Up to so many rows of x a product is made by dot products, with more by tiles.
inline constexpr std::int32_t kMatvecRows = 4;

/// Outputs of a block: rows of x times rows of the weight.
enum class MatmulTiles : std::uint8_t { k16x64, k64x64, k128x128, kWgmma128x128, kWgmma128x256 };
inline constexpr MatmulTiles kAllMatmulTiles[] = {MatmulTiles::k16x64, MatmulTiles::k64x64, MatmulTiles::k128x128,
                                                  MatmulTiles::kWgmma128x128, MatmulTiles::kWgmma128x256};

/// As an option, and in the names of kernels in reports.
[[nodiscard]] constexpr std::string_view to_string(MatmulTiles tiles) {
  constexpr std::string_view kNames[] = {"16x64", "64x64", "128x128", "wgmma128x128", "wgmma128x256"};
  return kNames[static_cast<std::size_t>(tiles)];
}

[[nodiscard]] constexpr std::int32_t block_rows(MatmulTiles tiles) {
  return tiles == MatmulTiles::k16x64 ? 16 : tiles == MatmulTiles::k64x64 ? 64 : 128;
}
[[nodiscard]] constexpr std::int32_t block_cols(MatmulTiles tiles) {
  return tiles == MatmulTiles::kWgmma128x256 ? 256 : block_rows(tiles) == 128 ? 128 : 64;
}
/// Made by warpgroups, on devices that have them.
[[nodiscard]] constexpr bool by_warpgroups(MatmulTiles tiles) {
  return tiles == MatmulTiles::kWgmma128x128 || tiles == MatmulTiles::kWgmma128x256;
}
/// One block fills a processor.
[[nodiscard]] constexpr bool is_large(MatmulTiles tiles) {
  return block_rows(tiles) == 128;
}
/// Bytes of a row of x, and of the weight, that a block takes at a time.
[[nodiscard]] constexpr std::int32_t step_bytes(MatmulTiles tiles) {
  return by_warpgroups(tiles) ? 128 : 64;
}

struct MatmulPlan {
  MatmulTiles tiles = MatmulTiles::k64x64;
  std::int32_t n_splits = 1;     ///< blocks that share K; their sums are added up by a second kernel
  std::int32_t split_steps = 1;  ///< of each
};

/// A product as the plan sees it.
struct MatmulExtent {
  std::int32_t n_rows = 0;     ///< of x, at most
  std::int32_t n_outputs = 0;  ///< rows of the weight
  std::int32_t row_bytes = 0;  ///< of x and of the weight, as they are multiplied
};

/// What of a device the plan depends on.
struct MatmulDevice {
  std::int32_t n_processors = 1;
  bool has_warpgroups = false;
  bool has_large_tiles = true;  ///< of 128 rows and more, for this weight
};

/// The largest tiles, of warpgroups where the device has them, with which three quarters of the device's processors
/// have a block; where even the smallest that the rows allow leave some without, blocks share K, in pieces of at least
/// kMinSplitSteps. Speed is guessed here, not measured:
/// ./dev gpu times the choices side by side.
[[nodiscard]] MatmulPlan plan_matmul(const MatmulExtent& extent, const MatmulDevice& device);
/// These tiles, unsplit.
[[nodiscard]] MatmulPlan plan_of(MatmulTiles tiles, const MatmulExtent& extent);

/// The product of a mixture's experts as its plan sees it. A row is a token with one of its experts.
struct GroupedExtent {
  std::int32_t n_rows = 0;  ///< at most
  std::int32_t n_experts = 0;
  std::int32_t n_expert_rows = 0;  ///< rows of an expert's weight
};

/// Tiles as high as the rows that an expert gets when all get as many, so that a weight is read once and few lines are
/// fillers; the large ones where three quarters of the processors have a block then. Guessed, too.
[[nodiscard]] MatmulTiles plan_grouped(const GroupedExtent& extent, const MatmulDevice& device);
/// However the rows fall to the experts, who do not share tiles.
[[nodiscard]] std::int32_t max_grouped_tiles(const GroupedExtent& extent, MatmulTiles tiles);

inline constexpr std::int32_t kMinSplitSteps = 8;
inline constexpr std::int32_t kMaxMatmulSplits = 16;

}  // namespace secondsource::gpu
