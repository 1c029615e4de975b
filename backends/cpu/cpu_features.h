#pragma once
// Which instruction sets this machine has, and so which kernel tables it can run.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"
#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

/// The kernel tables; within an architecture slowest first.
enum class Isa : std::uint8_t {
  kScalar,
  kAvx2,
  kAvx2Vnni,
  kAvx512,
  kAvx512Vnni,
  kAvx512Bf16,
  kAmx,
  kNeon,
  kNeonBf16,
  kSve256
};

/// The instruction sets that were built and that this CPU and operating system can run, slowest first.
[[nodiscard]] std::span<const Isa> usable_isas();

/// "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "amx", "neon", "neon_bf16", "sve256".
[[nodiscard]] std::string_view to_string(Isa isa);

/// The instruction set of this name, or the fastest usable one for an empty name. Errors: kInvalidInput for an unknown
/// name, kUnavailable for one that this machine cannot run; both list the usable ones.
[[nodiscard]] Result<Isa> choose_isa(std::string_view name);

/// Size of a core's second-level cache; 512 KiB if the system does not report it.
[[nodiscard]] std::int64_t second_level_cache_bytes();

/// `isa` must be usable.
[[nodiscard]] const KernelTable& kernel_table(Isa isa);

}  // namespace secondsource::cpu
