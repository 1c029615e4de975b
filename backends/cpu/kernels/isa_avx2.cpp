// AVX2, FMA and F16C.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {
namespace avx2 {
// Each uses the ones before.
// clang-format off
#include "cpu/kernels/simd_avx2.inc"
#include "cpu/kernels/row_kernels.inc"
#include "cpu/kernels/matmul_kernels.inc"
#include "cpu/kernels/matmul_group_quantized.inc"
#include "cpu/kernels/attention_kernels.inc"
#include "cpu/kernels/table_of_kernels.inc"
// clang-format on
}  // namespace avx2

const KernelTable& kernels_avx2() {
  static const KernelTable table = avx2::widening_table("avx2");
  return table;
}

}  // namespace secondsource::cpu
