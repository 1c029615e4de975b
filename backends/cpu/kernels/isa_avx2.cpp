// AVX2, FMA and F16C.

#define SS_CPU_ISA avx2
#define SS_CPU_SIMD_AVX2

#include "cpu/kernels/kernel_table-inl.h"
#include "cpu/kernels/matmul_avx2_digits-inl.h"

namespace secondsource::cpu {
namespace {

/// Makes `one_row` the kernel of a product for fewer rows than `many_from_rows`, which it multiplies one by one. More rows keep the kernel that
/// the table has. Where that kernel multiplies a single row, too, `one_row` replaces it for all rows that are not unpacked.
template <Product kProduct>
void use_digits(KernelTable& table, void (*one_row)(const TileArgs&), const char* name, int many_from_rows = 2) {
  static const ProductKernel more_rows = table.products[int(kProduct)];
  table.products[int(kProduct)] = {.act = ActType::kDigitGroups,
                                   .vec = kGroupColumns,
                                   .k_multiple = more_rows.k_multiple,
                                   .max_rows = 1,
                                   .multiply = one_row,
                                   .name = name,
                                   .many = more_rows.max_rows > 1 ? &more_rows : nullptr,
                                   .many_from_rows = many_from_rows};
}

KernelTable table_of_avx2() {
  KernelTable table = avx2::widening_table("avx2");
  table.pack = avx2::pack_with_digit_groups;
  use_digits<Product::kInt4>(table, avx2::multiply_nibbles_by_digits<avx2::Int4Codes>, "matmul_int4_digits_f32acc");
  use_digits<Product::kInt4Zero>(table, avx2::multiply_nibbles_by_digits<avx2::Int4ZeroCodes>,
                                 "matmul_int4zp_digits_f32acc");
  use_digits<Product::kMxfp4>(table, avx2::multiply_nibbles_by_digits<avx2::Mxfp4Codes>, "matmul_mxfp4_digits_f32acc",
                              3);
  use_digits<Product::kQ4K>(table, avx2::multiply_minima_blocks_by_digits<false>, "matmul_q4k_digits_f32acc", 3);
  use_digits<Product::kQ5K>(table, avx2::multiply_minima_blocks_by_digits<true>, "matmul_q5k_digits_f32acc");
  use_digits<Product::kQ6K>(table, avx2::multiply_q6k_by_digits, "matmul_q6k_digits_f32acc");
  use_digits<Product::kQ41>(table, avx2::multiply_group_blocks_by_digits<avx2::Q41Block>, "matmul_q4_1_digits_f32acc");
  use_digits<Product::kQ50>(table, avx2::multiply_group_blocks_by_digits<avx2::Q50Block>, "matmul_q5_0_digits_f32acc");
  use_digits<Product::kQ51>(table, avx2::multiply_group_blocks_by_digits<avx2::Q51Block>, "matmul_q5_1_digits_f32acc");
  use_digits<Product::kQ2K>(table, avx2::multiply_quads_by_digits<false>, "matmul_q2k_digits_f32acc");
  use_digits<Product::kQ3K>(table, avx2::multiply_quads_by_digits<true>, "matmul_q3k_digits_f32acc");
  // The other blocks of GGUF are unpacked from five rows on. On a Zen 3 digits had 1.6 to 2.4 times the multiply-adds of unpacked tiles with
  // two rows, and 0.8 to 1.2 times with four (medians of three turns; q5_1 was not measured).
  constexpr Product kByDigits[] = {Product::kQ2K, Product::kQ3K, Product::kQ41, Product::kQ50, Product::kQ51};
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
