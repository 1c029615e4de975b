#pragma once
// The loops that measure read rates and operation peaks, for the best instruction set of this CPU.

#include <cstddef>
#include <cstdint>

namespace secondsource {

/// Runs `n` steps of independent multiply-adds and returns a value that depends on all of them, so that the compiler
/// keeps them.
struct LimitLoop {
  float (*run)(std::int64_t n) = nullptr;  ///< null if the CPU lacks the instruction
  double operations_per_step = 0.0;
};

struct LimitLoops {
  const char* instruction_set = "portable";
  /// Reads [begin, begin + n_bytes), n_bytes a multiple of 256, in ascending order.
  float (*read)(const std::byte* begin, std::size_t n_bytes) = nullptr;
  LimitLoop f32;
  LimitLoop bf16;
  LimitLoop int8;
};

[[nodiscard]] LimitLoops best_limit_loops();

}  // namespace secondsource
