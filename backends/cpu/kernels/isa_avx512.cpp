// AVX-512 F, BW, VL, DQ.

#define SS_CPU_ISA avx512
#define SS_CPU_SIMD_AVX512

#include "cpu/kernels/kernel_table-inl.h"

namespace secondsource::cpu {
const KernelTable& kernels_avx512() {
  static const KernelTable table = avx512::widening_table("avx512");
  return table;
}

}  // namespace secondsource::cpu
