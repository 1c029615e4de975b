// AVX2, FMA and F16C with AVX-VNNI: Alder Lake and later CPUs of laptops and desktops, which have no AVX-512.

#define SS_CPU_ISA avx2_vnni
#define SS_CPU_SIMD_AVX2

#include "cpu/kernels/attention_digits-inl.h"
#include "cpu/kernels/byte_sums_vnni-inl.h"
#include "cpu/kernels/digit_products-inl.h"
#include "cpu/kernels/int8_groups-inl.h"
#include "cpu/kernels/matmul_codes-inl.h"
#include "cpu/kernels/matmul_vnni-inl.h"

namespace secondsource::cpu {
namespace avx2_vnni {

/// From this many rows on, q6_k is multiplied in f32. Each of its sums of 16 columns has a scale of its own; on a Zen 5 digits had 1.21
/// times the multiply-adds per second with one row, 1.04 with four and 0.95 with twelve.
inline constexpr int kQ6KInF32FromRows = 5;

/// `base` is the table of avx2, from which everything comes that AVX-VNNI does not replace.
inline KernelTable table_over(const KernelTable& base) {
  KernelTable table = base;
  table.isa = "avx2_vnni";
  use_vnni_products(table);
  // Compared with kernels that add a group's offset as those of avx512_vnni do, these have 1.22 to 1.66 times the multiply-adds per second
  // with four rows and more of int8-g32, and 1.08 to 1.43 times of int4 (Zen 5).
  table.products[int(Product::kInt8GroupQuantized)] =
      codes_kernel<Int8SumsInOrder, Int8GroupProduct, kRowBlock>(kGroupColumns, "matmul_int8g32_int8_f32acc");
  table.products[int(Product::kInt4Quantized)] =
      codes_kernel<Int8Sums, NibbleProduct<Int4Codes>, kRowBlock>(kGroupColumns, "matmul_int4_int8_f32acc");
  table.pack = pack_with_digit_pairs<pack_with_int8_groups<pack_with_digit_groups>>;
  table.attend_int8 = {ActType::kDigitPairs, 4, kDigitQueryRows, attend_by_integers<DigitPairForm>,
                       "attention_int8_digits_f32acc"};
  use_digits(table);
  use_codes<Product::kQ6K, DigitSums, Q6KProduct, kDigitRows>(table, "matmul_q6k_digits_f32acc", kQ6KInF32FromRows);
  return table;
}

}  // namespace avx2_vnni

const KernelTable& kernels_avx2_vnni() {
  static const KernelTable table = avx2_vnni::table_over(kernels_avx2());
  return table;
}

}  // namespace secondsource::cpu
