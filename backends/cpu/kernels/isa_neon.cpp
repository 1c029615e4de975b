// Armv8-A with Advanced SIMD: every AArch64 CPU.

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {
namespace neon {
// Each uses the ones before.
// clang-format off
#include "cpu/kernels/simd_neon.inc"
#include "cpu/kernels/row_kernels.inc"
#include "cpu/kernels/matmul_kernels.inc"
#include "cpu/kernels/matmul_group_quantized.inc"
#include "cpu/kernels/attention_kernels.inc"
#include "cpu/kernels/table_of_kernels.inc"
// clang-format on
}  // namespace neon

const KernelTable& kernels_neon() {
  static const KernelTable table = neon::widening_table("neon");
  return table;
}

}  // namespace secondsource::cpu
