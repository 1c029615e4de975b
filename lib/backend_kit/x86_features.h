#pragma once
// x86 instruction sets that not every compiler's __builtin_cpu_supports() knows. On other CPUs the answer is always no.

namespace secondsource {

/// Whether the CPU has vpdpbusd with vectors of 256 bits without AVX-512 (AVX-VNNI). An operating system that saves the
/// AVX2 registers supports it.
[[nodiscard]] bool has_avx_vnni();

/// Whether the CPU has FP16 multiply-adds (AVX512-FP16). An operating system that saves the AVX-512 registers supports
/// it.
[[nodiscard]] bool has_avx512_fp16();

/// Whether the CPU has Advanced Matrix Extensions (AMX) with BF16 and int8 products, and Linux permits this process to
/// use the 8 KiB of tile registers. The call asks Linux for that permission (Documentation/arch/x86/xstate.rst);
/// threads that start later inherit it.
[[nodiscard]] bool may_use_amx();

}  // namespace secondsource
