#pragma once
// The inner loops of limit_timing.cpp, for the best instruction set of this CPU.

#include <cstddef>
#include <cstdint>

namespace secondsource {

/// A loop of `n` steps of independent operations. run() returns a value that depends on all of them.
struct LimitLoop {
  float (*run)(std::int64_t n) = nullptr;  ///< null if the CPU lacks the instruction
  double operations_per_step = 0.0;
};

struct LimitLoops {
  const char* instruction_set = "portable";
  /// Reads [begin, begin + n_bytes) in one forward stream; n_bytes must be a multiple of 256.
  float (*read)(const std::byte* begin, std::size_t n_bytes) = nullptr;
  LimitLoop f32;
  LimitLoop bf16;
  LimitLoop int8;
};

[[nodiscard]] LimitLoops best_limit_loops();

}  // namespace secondsource
