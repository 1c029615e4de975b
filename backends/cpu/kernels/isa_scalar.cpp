// The portable kernels: 16-byte vectors of the compiler (SSE2 on x86-64).

#define SS_CPU_ISA scalar

#include "cpu/kernels/kernel_table-inl.h"

namespace secondsource::cpu {
const KernelTable& kernels_scalar() {
  static const KernelTable table = scalar::widening_table("scalar");
  return table;
}

}  // namespace secondsource::cpu
