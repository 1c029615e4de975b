// AVX2, FMA and F16C.

#define SS_CPU_ISA avx2
#define SS_CPU_SIMD_AVX2

#include "cpu/kernels/kernel_table-inl.h"

namespace secondsource::cpu {
const KernelTable& kernels_avx2() {
  static const KernelTable table = avx2::widening_table("avx2");
  return table;
}

}  // namespace secondsource::cpu
