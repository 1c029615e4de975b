#pragma once
// Which instruction sets this machine has, and which of our kernel tables that allows.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"
#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

/// The kernel tables; of each architecture slowest first.
enum class Isa : std::uint8_t { kScalar, kAvx2, kAvx512, kAvx512Vnni, kAvx512Bf16, kAmx, kNeon, kNeonBf16, kSve256 };

/// Those that were built and that this CPU and operating system can run, slowest first.
[[nodiscard]] std::span<const Isa> usable_isas();

/// "scalar", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "amx", "neon", "neon_bf16", "sve256".
[[nodiscard]] std::string_view to_string(Isa isa);

/// The fastest usable one for an empty name. Errors: kInvalidInput for an unknown name, kUnavailable for one that this
/// machine cannot run; both list what there is.
[[nodiscard]] Result<Isa> choose_isa(std::string_view name);

/// Of the second-level cache of a core; 512 KiB where the system does not tell.
[[nodiscard]] std::int64_t second_level_cache_bytes();

/// `isa` must be usable.
[[nodiscard]] const KernelTable& kernel_table(Isa isa);

}  // namespace secondsource::cpu
