#pragma once
// Instructions of x86 CPUs that not every compiler's __builtin_cpu_supports() can name. On other CPUs the answer is always no.

namespace secondsource {

/// Whether the CPU has vpdpbusd with vectors of 256 bits without AVX-512 (AVX-VNNI). The system saves its registers where it saves those of
/// AVX2.
[[nodiscard]] bool has_avx_vnni();

/// Whether the CPU has multiply-adds in FP16 (AVX512-FP16). The system saves their registers where it saves those of AVX-512.
[[nodiscard]] bool has_avx512_fp16();

/// Whether the CPU has Advanced Matrix Extensions (AMX) with BF16 and int8 products, and Linux permits this process to use the 8 KiB of
/// tile registers (Documentation/arch/x86/xstate.rst), for which it is asked. Threads that start later inherit the permission.
[[nodiscard]] bool may_use_amx();

}  // namespace secondsource
