#pragma once
// The inner loops of machine_limits.cpp, for the best instruction set that this CPU has.

#include <cstddef>
#include <cstdint>

namespace secondsource {

/// Does `n` steps of 64 operations' worth of independent work and returns something that depends on all of it.
struct LimitLoop {
  float (*run)(std::int64_t n) = nullptr;  ///< null: the CPU lacks the instruction
  double operations_per_step = 0.0;
};

struct LimitLoops {
  const char* instruction_set = "portable";
  /// Reads [begin, begin + n_bytes), n_bytes a multiple of 256, in one forward stream.
  float (*read)(const std::byte* begin, std::size_t n_bytes) = nullptr;
  LimitLoop f32;
  LimitLoop bf16;
  LimitLoop int8;
};

[[nodiscard]] LimitLoops best_limit_loops();

}  // namespace secondsource
