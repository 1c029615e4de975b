// AVX2, FMA and F16C.

#define SS_CPU_ISA avx2
#define SS_CPU_SIMD_AVX2

#include "cpu/kernels/digit_sums_avx2-inl.h"
#include "cpu/kernels/int8_sums_avx2-inl.h"
#include "cpu/kernels/kernel_table-inl.h"
#include "cpu/kernels/matmul_codes-inl.h"

namespace secondsource::cpu {
namespace {

/// These kernels multiply one row by digits. For two rows of mxfp4 and q4_k, and for up to four rows of the types that are unpacked from
/// five rows on, they multiply one row after the other.
void use_digits_of_avx2(KernelTable& table) {
  using namespace avx2;
  use_codes<Product::kInt4, MaddubsSums, NibbleProduct<Int4Codes>, 1>(table, "matmul_int4_digits_f32acc", 2);
  use_codes<Product::kInt4Zero, MaddubsSums, NibbleProduct<Int4ZeroCodes>, 1>(table, "matmul_int4zp_digits_f32acc", 2);
  use_codes<Product::kMxfp4, MaddubsSums, NibbleProduct<Mxfp4Codes>, 1>(table, "matmul_mxfp4_digits_f32acc", 3);
  use_codes<Product::kQ4K, MaddubsSums, MinimaBlockProduct<false>, 1>(table, "matmul_q4k_digits_f32acc", 3);
  use_codes<Product::kQ5K, MaddubsSums, MinimaBlockProduct<true>, 1>(table, "matmul_q5k_digits_f32acc", 2);
  use_codes<Product::kQ6K, MaddubsSums, Q6KProduct, 1>(table, "matmul_q6k_digits_f32acc", 2);
  use_codes<Product::kQ41, MaddubsSums, GroupBlockProduct<Q41Block>, 1>(table, "matmul_q4_1_digits_f32acc", 2);
  use_codes<Product::kQ50, MaddubsSums, GroupBlockProduct<Q50Block>, 1>(table, "matmul_q5_0_digits_f32acc", 2);
  use_codes<Product::kQ51, MaddubsSums, GroupBlockProduct<Q51Block>, 1>(table, "matmul_q5_1_digits_f32acc", 2);
  use_codes<Product::kQ2K, MaddubsSums, QuadProduct<false>, 1>(table, "matmul_q2k_digits_f32acc", 2);
  use_codes<Product::kQ3K, MaddubsSums, QuadProduct<true>, 1>(table, "matmul_q3k_digits_f32acc", 2);
  use_codes<Product::kNvfp4, MaddubsSums, Nvfp4Product, 1>(table, "matmul_nvfp4_digits_f32acc", 2);
}

KernelTable table_of_avx2() {
  KernelTable table = avx2::widening_table("avx2");
  table.pack = avx2::pack_with_int8_groups<avx2::pack_with_digit_groups>;
  use_digits_of_avx2(table);
  using Int4ByInt8 = avx2::NibbleProduct<avx2::Int4Codes>;
  table.products[int(Product::kInt4Quantized)] =
      avx2::codes_kernel<avx2::Int8MaddubsSums, Int4ByInt8, avx2::kRowBlock>(kGroupColumns, "matmul_int4_int8_f32acc");
  // These types are unpacked from five rows on. On a Zen 3 digits had 1.6 to 2.4 times the multiply-adds of unpacked tiles with two rows,
  // and 0.8 to 1.2 times with four (medians of three turns; q5_1 and nvfp4 were not measured).
  constexpr Product kByDigits[] = {Product::kQ2K, Product::kQ3K, Product::kQ41,
                                   Product::kQ50, Product::kQ51, Product::kNvfp4};
  for (const Product product : kByDigits) table.unpack[int(product)].from_rows = 5;
  // Weights with scales for groups take so many instructions to decode that unpacking them first pays from three row blocks on. On a
  // Zen 3, 16 rows took 0.64 (mxfp4) to 0.91 (q4_k) of the time in which every row block decoded them anew (the best of four turns).
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
