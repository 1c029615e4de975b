#pragma once
// The values of a block of a GGUF file, from the parts that a WeightSource delivers.

#include <cstddef>
#include <span>

#include "backend/weights.h"

namespace secondsource {

/// Writes the values of one block from its codes (int8 each) and its floats. codes, values: BlockForm::n_cols elements,
/// floats: n_floats().
/// d * s * q and dmin * m are exact in f32, so each value is rounded at most once and equals ggml's dequantized value
/// bit by bit.
void values_of_block(WeightEncoding encoding, std::span<const std::byte> codes, std::span<const float> floats,
                     std::span<float> values);

}  // namespace secondsource
