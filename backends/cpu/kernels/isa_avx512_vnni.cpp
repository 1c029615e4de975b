// AVX-512 F, BW, VL, DQ with VNNI: Cascade Lake and Ice Lake, which have no BF16.

#define SS_CPU_ISA avx512_vnni
#define SS_CPU_SIMD_AVX512

#include "cpu/kernels/attention_digits-inl.h"
#include "cpu/kernels/digit_groups-inl.h"
#include "cpu/kernels/digit_products-inl.h"
#include "cpu/kernels/matmul_quantized_groups-inl.h"
#include "cpu/kernels/matmul_vnni-inl.h"

namespace secondsource::cpu {
namespace avx512_vnni {

/// `base` is the table of avx512, from which everything comes that VNNI does not replace.
inline KernelTable table_over(const KernelTable& base) {
  KernelTable table = base;
  table.isa = "avx512_vnni";
  use_vnni_products(table);
  // Compared with the kernels of codes that avx2_vnni has, int4 with 6 to 12 rows has 1.11 to 1.18 times the multiply-adds per second on a
  // Zen 5, and int8-g32 0.93 to 1.11 times.
  table.products[int(Product::kInt8GroupQuantized)] = {ActType::kU8,
                                                       4,
                                                       kGroupColumns,
                                                       kRowBlock,
                                                       multiply_quantized_groups<DotU8, Int8Groups>,
                                                       "matmul_int8g32_int8_f32acc"};
  table.products[int(Product::kInt4Quantized)] = {
      ActType::kU8Nibbles,      8, kGroupColumns, kRowBlock, multiply_quantized_groups<DotU8, Int4Groups>,
      "matmul_int4_int8_f32acc"};
  table.pack = pack_with_digit_pairs<pack_with_digit_groups>;
  table.attend_int8 = {ActType::kDigitPairs, 4, kDigitQueryRows, attend_by_integers<DigitPairForm>,
                       "attention_int8_digits_f32acc"};
  use_digits(table);
  use_digits_for_few<Product::kQ6K, Q6KProduct>(table, "matmul_q6k_digits_f32acc");
  return table;
}

}  // namespace avx512_vnni

const KernelTable& kernels_avx512_vnni() {
  static const KernelTable table = avx512_vnni::table_over(kernels_avx512());
  return table;
}

}  // namespace secondsource::cpu
