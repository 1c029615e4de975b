#include "backend/k_blocks.h"

namespace secondsource {

void values_of_k_block(WeightEncoding encoding, std::span<const std::byte, kKBlockSize> codes,
                       std::span<const float> floats, std::span<float, kKBlockSize> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto code = static_cast<float>(static_cast<std::int8_t>(codes[i]));
    values[i] = has_k_minima(encoding) ? floats[0] * floats[2 + i / 32] * code - floats[1] * floats[10 + i / 32]
                                       : floats[0] * floats[1 + i / 16] * code;
  }
}

}  // namespace secondsource
