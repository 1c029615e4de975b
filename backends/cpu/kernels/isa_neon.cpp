// Armv8-A with Advanced SIMD: every AArch64 CPU.

#define SS_CPU_ISA neon
#define SS_CPU_SIMD_NEON

#include "cpu/kernels/kernel_table-inl.h"

namespace secondsource::cpu {
const KernelTable& kernels_neon() {
  static const KernelTable table = neon::widening_table("neon");
  return table;
}

}  // namespace secondsource::cpu
