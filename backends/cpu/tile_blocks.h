#pragma once
// Tiles of weights whose columns come in blocks of GGUF, laid out as kernel_table.h says.

#include <cstddef>
#include <cstdint>

#include "backend/weights.h"

namespace secondsource::cpu {

/// Bytes that one block of columns takes in a tile.
[[nodiscard]] std::int64_t block_tile_bytes(WeightEncoding encoding);

/// The 16 rows of a tile, as a WeightSource delivers them.
struct BlockRows {
  const std::byte* codes = nullptr;  ///< one int8 each; a row is padded to whole cache lines
  std::size_t stride = 0;            ///< bytes from row to row
  const float* floats = nullptr;
  std::size_t float_stride = 0;  ///< floats from row to row
};

/// Packs all blocks of a tile.
void pack_blocks(WeightEncoding encoding, std::int64_t n_cols, const BlockRows& rows, std::byte* tile);

/// The weight in column `k` of row `lane` of a packed tile.
[[nodiscard]] float value_in_blocks(WeightEncoding encoding, const std::byte* tile, std::int64_t k, int lane);

}  // namespace secondsource::cpu
