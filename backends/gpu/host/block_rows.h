#pragma once
// Packs rows of weights in blocks of GGUF into the layout that they have in device memory (kernels.h's BlockRow).

#include <cstddef>
#include <span>

#include "backend/weights.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

/// Packs one row. codes: [n_cols] int8, floats: BlockForm::n_floats() of each block, both as transferred; packed: BlockRow::n_bytes
/// bytes, all of them 0.
void pack_block_row(WeightEncoding encoding, std::span<const std::byte> codes, std::span<const float> floats,
                    std::span<std::byte> packed);

/// The inverse of pack_block_row(): restores codes and floats as they were passed.
void unpack_block_row(WeightEncoding encoding, std::span<const std::byte> packed, std::span<std::byte> codes,
                      std::span<float> floats);

}  // namespace secondsource::gpu
