#pragma once
// Whether this process may use Intel's Advanced Matrix Extensions (AMX).

namespace secondsource {

/// Whether the CPU has AMX with BF16 and int8 products, and Linux permits this process to use the 8 KiB of tile registers
/// (Documentation/arch/x86/xstate.rst), for which it is asked. Threads that start later inherit the permission.
[[nodiscard]] bool may_use_amx();

}  // namespace secondsource
