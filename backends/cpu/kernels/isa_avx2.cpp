// AVX2, FMA and F16C.

#define SS_CPU_ISA avx2
#define SS_CPU_SIMD_AVX2

#include "cpu/kernels/kernel_table-inl.h"

namespace secondsource::cpu {
namespace {

KernelTable table_of_avx2() {
  KernelTable table = avx2::widening_table("avx2");
  // Codes with scales for groups take so many instructions to decode that three row blocks are enough to share the cost. On a Zen 3, 16
  // rows took 0.64 (mxfp4) to 0.91 (q4_k) of the time in which they were decoded anew for each row block (the best of four turns).
  constexpr Product kDecodedByGroups[] = {Product::kInt8Group, Product::kInt4, Product::kInt4Zero, Product::kMxfp4,
                                          Product::kQ4K,       Product::kQ5K,  Product::kQ6K};
  for (const Product product : kDecodedByGroups) {
    table.unpack[int(product)].from_rows = 2 * avx2::kRowBlock + 1;
  }
  return table;
}

}  // namespace

const KernelTable& kernels_avx2() {
  static const KernelTable table = table_of_avx2();
  return table;
}

}  // namespace secondsource::cpu
