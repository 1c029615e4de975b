// AVX-512 F, BW, VL, DQ with VNNI: Cascade Lake and Ice Lake, which have no BF16.

#define SS_CPU_ISA avx512_vnni
#define SS_CPU_SIMD_AVX512

#include "cpu/kernels/attention_digits-inl.h"
#include "cpu/kernels/digit_sums_vnni-inl.h"
#include "cpu/kernels/matmul_codes-inl.h"
#include "cpu/kernels/matmul_quantized_groups-inl.h"
#include "cpu/kernels/matmul_vnni-inl.h"

namespace secondsource::cpu {
namespace avx512_vnni {

/// Rows of a block. With more, the three sums of each row would not fit in registers.
inline constexpr int kDigitRows = 6;
/// On a Zen 4, f32 has 0.9 to 1.2 times as many multiply-adds per second as digits with eight rows, and 0.5 to 0.8 times as many with four.
inline constexpr int kF32FromRows = kDigitRows + 1;

template <Product kProduct, typename Kernel>
void use_vnni(KernelTable& table, const char* name) {
  use_codes<kProduct, VnniSums, Kernel, kDigitRows>(table, name, kF32FromRows);
}

/// Makes digits multiply few rows of nibbles and of blocks of GGUF.
inline void use_digits(KernelTable& table) {
  // A nibble is widened to f32 by one permutation. On a Zen 4 digits have 1.6 (int4, mxfp4) and 2.0 times (int4-zp) the multiply-adds
  // per second of f32 with one row, 0.95, 1.0 and 1.2 times with two, and 0.92 to 0.95 times with four.
  use_codes<Product::kInt4, VnniSums, NibbleProduct<Int4Codes>, 1>(table, "matmul_int4_digits_f32acc", 2);
  use_codes<Product::kInt4Zero, VnniSums, NibbleProduct<Int4ZeroCodes>, 2>(table, "matmul_int4zp_digits_f32acc", 3);
  use_codes<Product::kMxfp4, VnniSums, NibbleProduct<Mxfp4Codes>, 1>(table, "matmul_mxfp4_digits_f32acc", 2);
  use_vnni<Product::kQ4K, MinimaBlockProduct<false>>(table, "matmul_q4k_digits_f32acc");
  use_vnni<Product::kQ5K, MinimaBlockProduct<true>>(table, "matmul_q5k_digits_f32acc");
  use_vnni<Product::kQ6K, Q6KProduct>(table, "matmul_q6k_digits_f32acc");
  use_vnni<Product::kQ41, GroupBlockProduct<Q41Block>>(table, "matmul_q4_1_digits_f32acc");
  use_vnni<Product::kQ50, GroupBlockProduct<Q50Block>>(table, "matmul_q5_0_digits_f32acc");
  use_vnni<Product::kQ51, GroupBlockProduct<Q51Block>>(table, "matmul_q5_1_digits_f32acc");
  use_vnni<Product::kIq4Nl, GroupBlockProduct<Iq4NlBlock>>(table, "matmul_iq4nl_digits_f32acc");
  use_vnni<Product::kIq4Xs, Iq4XsProduct>(table, "matmul_iq4xs_digits_f32acc");
  use_vnni<Product::kQ2K, QuadProduct<false>>(table, "matmul_q2k_digits_f32acc");
  use_vnni<Product::kQ3K, QuadProduct<true>>(table, "matmul_q3k_digits_f32acc");
  use_vnni<Product::kNvfp4, Nvfp4Product>(table, "matmul_nvfp4_digits_f32acc");
  for (const Product product : kUnpackedBlocks) table.unpack[int(product)].from_rows = kF32FromRows;
  table.unpack[int(Product::kNvfp4)].from_rows = kF32FromRows;
}

/// `base` is the table of avx512, from which everything comes that VNNI does not replace.
inline KernelTable table_over(const KernelTable& base) {
  KernelTable table = base;
  table.isa = "avx512_vnni";
  table.products[int(Product::kInt8Quantized)] = {
      ActType::kU8, 4, 4, kRowBlock, multiply<DotU8>, "matmul_int8_int8_i32acc"};
  table.products[int(Product::kInt8GroupQuantized)] = {ActType::kU8,
                                                       4,
                                                       kGroupColumns,
                                                       kRowBlock,
                                                       multiply_quantized_groups<DotU8, Int8Groups>,
                                                       "matmul_int8g32_int8_f32acc"};
  table.products[int(Product::kInt4Quantized)] = {
      ActType::kU8Nibbles,      8, kGroupColumns, kRowBlock, multiply_quantized_groups<DotU8, Int4Groups>,
      "matmul_int4_int8_f32acc"};
  table.products[int(Product::kInt8GroupOffset)] = {
      ActType::kU8, 4, kGroupColumns, kOffsetGroupRows, multiply_offset_groups, "matmul_int8g32_int8_f32acc"};
  table.pack = pack_with_digit_pairs<pack_with_digit_groups>;
  table.attend_int8 = {ActType::kDigitPairs, 4, kDigitQueryRows, attend_by_digits, "attention_int8_digits_f32acc"};
  use_digits(table);
  table.unpack[int(Product::kInt8GroupQuantized)] = {Product::kInt8GroupOffset, int8_group_tile_with_offsets};
  table.unpack[int(Product::kInt4Quantized)] = {Product::kInt8GroupOffset, int4_tile_with_offsets};
  return table;
}

}  // namespace avx512_vnni

const KernelTable& kernels_avx512_vnni() {
  static const KernelTable table = avx512_vnni::table_over(kernels_avx512());
  return table;
}

}  // namespace secondsource::cpu
