#pragma once
// How the shim stores the map of a matrix (gpu/tensor_map.h), and how it copies a tile by it.

#include <optional>

#include "core/result.h"
#include "gpu/tensor_map.h"

namespace secondsource::gpu::shim {

/// Errors: kInternal for what NVIDIA's driver refuses.
[[nodiscard]] Result<TensorMap> encode(const TiledMatrix& matrix);
/// None if encode() has not made it.
[[nodiscard]] std::optional<TiledMatrix> decode(const TensorMap& map);

/// Writes the tile that begins with value `col` of row `row` to `tile`: tile_rows lines of kTensorLineBytes, in which each vector of 16
/// bytes is in the place that the swizzle of 128 bytes gives it (PTX ISA, "Swizzling modes").
void copy_tile(const TiledMatrix& matrix, int col, int row, std::byte* tile);

}  // namespace secondsource::gpu::shim
