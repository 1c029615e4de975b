#pragma once
// The values of a block of kQ4K, kQ5K or kQ6K, from the parts that a WeightSource delivers.

#include <cstddef>
#include <span>

#include "backend/weights.h"

namespace secondsource {

/// Writes the values of the codes of one block, int8 each, and its k_block_floats() floats. d * s and dmin * m are exact in f32, so that
/// each value is rounded once: it has the bits of ggml's dequantization.
void values_of_k_block(WeightEncoding encoding, std::span<const std::byte, kKBlockSize> codes,
                       std::span<const float> floats, std::span<float, kKBlockSize> values);

}  // namespace secondsource
