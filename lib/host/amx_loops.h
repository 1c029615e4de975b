#pragma once
// Loops of matrix products in the tile registers of AMX, for limit_loops.h.
//
// A step is a fifth of a block of four products of 16 x 16 sums, as a matmul does them: (rows 0-15, rows 16-31) times (first,
// second weight tile). The operands stay in registers, or are loaded for each block as a matmul loads them, four tiles for
// four products, from a buffer that one level of the caches holds. The operands are zeros: the clock is highest with them, so that
// no product of other numbers is faster. One loop multiplies numbers that are not zeros, and shows what is left of this peak.

#include <vector>

#include "host/limit_loops.h"

namespace secondsource {

/// The type of the operands.
enum class AmxType : unsigned char { kBf16, kInt8 };

/// Empty where this process may not use AMX. The first loop is the one from registers, which is the peak.
[[nodiscard]] std::vector<InstructionLoop> amx_loops(AmxType type);

}  // namespace secondsource
