// AVX2, FMA and F16C.

#define SS_CPU_ISA avx2
#define SS_CPU_SIMD_AVX2

#include "cpu/kernels/attention_words-inl.h"
#include "cpu/kernels/digit_sums_avx2-inl.h"
#include "cpu/kernels/int8_sums_avx2-inl.h"
#include "cpu/kernels/kernel_table-inl.h"
#include "cpu/kernels/matmul_codes-inl.h"
#include "cpu/kernels/matmul_word_digits-inl.h"

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
  table.pack =
      avx2::pack_with_words<avx2::pack_with_digit_words<avx2::pack_with_int8_groups<avx2::pack_with_digit_groups>>>;
  table.attend_int8 = {ActType::kWords, 4, avx2::WordForm::kQueryRows, avx2::attend_by_integers<avx2::WordForm>,
                       "attention_int8_words_f32acc"};
  use_digits_of_avx2(table);
  constexpr int kOtherKernelFromRows = 2;
  avx2::use_for_few_rows<Product::kInt8>(table, avx2::word_digits_kernel<false>("matmul_int8_words_f32acc"),
                                         kOtherKernelFromRows);
  avx2::use_for_few_rows<Product::kInt8Group>(table, avx2::word_digits_kernel<true>("matmul_int8g32_words_f32acc"),
                                              kOtherKernelFromRows);
  using Int4ByInt8 = avx2::NibbleProduct<avx2::Int4Codes>;
  table.products[int(Product::kInt4Quantized)] =
      avx2::codes_kernel<avx2::Int8MaddubsSums, Int4ByInt8, avx2::kRowBlock>(kGroupColumns, "matmul_int4_int8_f32acc");
  // These types are unpacked from five rows on. On a Zen 3 digits had 1.6 to 2.4 times the multiply-adds of unpacked tiles with two rows,
  // and 0.8 to 1.2 times with four (medians of three turns; q5_1 and nvfp4 were not measured).
  constexpr Product kByDigits[] = {Product::kQ2K, Product::kQ3K, Product::kQ41,
                                   Product::kQ50, Product::kQ51, Product::kNvfp4};
  for (const Product product : kByDigits) table.unpack[int(product)].from_rows = 5;
  // Other weights are unpacked first where that takes less time than decoding them for two row blocks, or for three. On a Zen 1 unpacked
  // tiles have the following multiples of the rate of tiles that are decoded for each row block (medians of two or three turns in
  // alternation, 2048 x 16384, 2026-12-01):
  //
  //                            8 rows          12              16              24
  //   int8, int8-g32, f16      0.85 to 1.01    1.00 to 1.07    1.04 to 1.12    1.15 to 1.24
  //   fp8-g128, fp8            1.01, 1.09      1.07, 1.16      1.17, 1.24      1.27, 1.34
  //   int4, int4-zp            1.03, 1.19      1.16, 1.29      -               -
  //   mxfp4, q4_k, q5_k, q6_k  1.28 to 1.32    1.24 to 1.42    -               -
  //
  // On a Zen 3 16 rows took 0.64 (mxfp4) to 0.91 (q4_k) of the time of row blocks that decode them anew. A single block of up to six rows
  // has 0.65 to 1.09 of the rate if it is unpacked.
  constexpr Product kForTwoBlocks[] = {Product::kFp8,   Product::kFp8Group, Product::kInt4, Product::kInt4Zero,
                                       Product::kMxfp4, Product::kQ4K,      Product::kQ5K,  Product::kQ6K};
  for (const Product product : kForTwoBlocks) table.unpack[int(product)].from_rows = avx2::kRowBlock + 1;
  constexpr Product kForThreeBlocks[] = {Product::kInt8, Product::kInt8Group, Product::kF16};
  for (const Product product : kForThreeBlocks) table.unpack[int(product)].from_rows = 2 * avx2::kRowBlock + 1;
  return table;
}

}  // namespace

const KernelTable& kernels_avx2() {
  static const KernelTable table = table_of_avx2();
  return table;
}

}  // namespace secondsource::cpu
