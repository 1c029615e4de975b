// AVX-512 F, BW, VL, DQ.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {
namespace avx512 {
// Each uses the ones before.
// clang-format off
#include "cpu/kernels/simd_avx512.inc"
#include "cpu/kernels/row_kernels.inc"
#include "cpu/kernels/matmul_kernels.inc"
#include "cpu/kernels/matmul_group_quantized.inc"
#include "cpu/kernels/attention_kernels.inc"
#include "cpu/kernels/table_of_kernels.inc"
// clang-format on
}  // namespace avx512

const KernelTable& kernels_avx512() {
  static const KernelTable table = avx512::widening_table("avx512");
  return table;
}

}  // namespace secondsource::cpu
