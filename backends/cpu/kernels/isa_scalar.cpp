// The portable kernels: 16-byte vectors of the compiler (SSE2 on x86-64).

#include <cstddef>
#include <cstdint>

#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {
namespace scalar {
// Each uses the ones before.
// clang-format off
#include "cpu/kernels/simd_portable.inc"
#include "cpu/kernels/row_kernels.inc"
#include "cpu/kernels/matmul_kernels.inc"
#include "cpu/kernels/matmul_group_quantized.inc"
#include "cpu/kernels/attention_kernels.inc"
#include "cpu/kernels/table_of_kernels.inc"
// clang-format on
}  // namespace scalar

const KernelTable& kernels_scalar() {
  static const KernelTable table = scalar::widening_table("scalar");
  return table;
}

}  // namespace secondsource::cpu
