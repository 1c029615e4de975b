#pragma once
// The loops that measure read rates and operation peaks, for the best instruction set of this CPU.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace secondsource {

/// Runs `n` steps of independent multiply-adds and returns a value that depends on all of them, so that the compiler
/// keeps them.
struct LimitLoop {
  float (*run)(std::int64_t n) = nullptr;  ///< null if the CPU lacks the instruction
  double operations_per_step = 0.0;
};

/// A loop of one instruction, named for people: "vdpbf16ps", "AMX BF16, registers".
struct InstructionLoop {
  const char* name = "";
  LimitLoop loop;
  bool is_peak =
      true;  ///< no if its operands come from a cache, or are numbers for which the clock is lower than for zeros
};

struct LimitLoops {
  const char* instruction_set = "portable";
  /// Reads [begin, begin + n_bytes), n_bytes a multiple of 256, in ascending order.
  float (*read)(const std::byte* begin, std::size_t n_bytes) = nullptr;
  LimitLoop f32;
  /// Every instruction of this CPU that multiplies these types, with operands in registers. Which one is fastest is a
  /// property of the CPU: vdpbf16ps does half as much as f32 on a Sapphire Rapids and twice as much on a Zen 4.
  std::vector<InstructionLoop> bf16;
  std::vector<InstructionLoop> int8;
  /// Instructions that multiply codes of four bits by int8, but not int8 by int8 exactly.
  std::vector<InstructionLoop> int4;
  /// Rates that explain why kernels may stay below the limit: AMX with operands from caches or without zeros, and FP16, in which no
  /// kernel multiplies.
  std::vector<InstructionLoop> others;
  bool has_amx = false;
};

[[nodiscard]] LimitLoops best_limit_loops();

}  // namespace secondsource
