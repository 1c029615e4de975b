// AVX-512 F, BW, VL, DQ with VBMI, VNNI and BF16: Zen 4, Sapphire Rapids and later.

#define SS_CPU_ISA avx512_bf16
#define SS_CPU_SIMD_AVX512

#include "cpu/kernels/attention-inl.h"
#include "cpu/kernels/bf16_sums-inl.h"
#include "cpu/kernels/digit_groups-inl.h"
#include "cpu/kernels/matmul_bf16_dot-inl.h"
#include "cpu/kernels/matmul_codes-inl.h"
#include "cpu/kernels/row_kernels-inl.h"

namespace secondsource::cpu {
namespace avx512_bf16 {

/// Rows of a block of codes. From ten rows on, sums and totals do not fit in registers beside the codes of q3_k.
inline constexpr int kCodeRows = 8;
/// One row is multiplied by digits, as on avx512_vnni, which on a Zen 4 takes as long as BF16. With two rows BF16 has 1.05 to 1.3 times the
/// multiply-adds per second of digits, with four 1.1 to 1.25 times.
inline constexpr int kBf16FromRows = 2;

/// From this many rows on, iq4_xs and iq4_nl are unpacked to BF16.
inline constexpr int kUnpackCurvesFromRows = 7;

/// Registers the kernel of codes and BF16 activations for two to 24 rows; more rows are unpacked to BF16.
template <Product kProduct, typename Block, typename Kernel, int kCodeBits>
void use_bf16(KernelTable& table, const char* name) {
  ProductKernel& few_rows = table.products[int(kProduct)];
  static const ProductKernel more_rows =
      codes_kernel<Bf16Sums<kCodeBits>, Kernel, kCodeRows>(few_rows.k_multiple, name);
  few_rows.many = &more_rows;
  few_rows.many_from_rows = kBf16FromRows;
  table.unpack[int(kProduct)] = {Product::kBf16, block_tile_to_bf16<Block>};
}

/// Blocks of GGUF and nvfp4. The codes of iq4_xs and iq4_nl have more bits than Bf16Sums takes, so that fewer rows of these are unpacked.
/// For one thread of a Zen 4 and 2048 x 16384, unpacked weights have these ratios of the multiply-adds per second of codes that are
/// multiplied in place: the smallest and the largest of the types in a line, each a median of two turns in alternation (2026-11-30).
///
///                            25 and 28 rows   40             64             512
///   q4_k, q6_k, q3_k, nvfp4  1.04 to 1.14     1.10 to 1.20   1.23 to 1.27   1.28 to 1.37 (q4_k, q6_k)
///   q5_0                     0.97             1.02           -              -
inline void use_blocks_in_bf16(KernelTable& table) {
  use_bf16<Product::kQ4K, Q4KBlock, MinimaBlockProduct<false>, 4>(table, "matmul_q4k_bf16_f32acc");
  use_bf16<Product::kQ5K, Q5KBlock, MinimaBlockProduct<true>, 5>(table, "matmul_q5k_bf16_f32acc");
  use_bf16<Product::kQ6K, Q6KBlock, Q6KProduct, 6>(table, "matmul_q6k_bf16_f32acc");
  use_bf16<Product::kQ41, Q41Block, GroupBlockProduct<Q41Block>, 4>(table, "matmul_q4_1_bf16_f32acc");
  use_bf16<Product::kQ50, Q50Block, GroupBlockProduct<Q50Block>, 5>(table, "matmul_q5_0_bf16_f32acc");
  use_bf16<Product::kQ51, Q51Block, GroupBlockProduct<Q51Block>, 5>(table, "matmul_q5_1_bf16_f32acc");
  use_bf16<Product::kQ2K, Q2KBlock, QuadProduct<false>, 2>(table, "matmul_q2k_bf16_f32acc");
  use_bf16<Product::kQ3K, Q3KBlock, QuadProduct<true>, 3>(table, "matmul_q3k_bf16_f32acc");
  use_bf16<Product::kNvfp4, Nvfp4Block, Nvfp4Product, 5>(table, "matmul_nvfp4_bf16_f32acc");
  // Both operands of nvfp4 with quantized activations are exact in BF16.
  table.unpack[int(Product::kNvfp4Quantized)].into = Product::kBf16;
  table.unpack[int(Product::kNvfp4Quantized)].unpack = block_tile_to_bf16<Nvfp4Block>;
  table.unpack[int(Product::kIq4Xs)] = {Product::kBf16, block_tile_to_bf16<Iq4XsBlock>, kUnpackCurvesFromRows};
  table.unpack[int(Product::kIq4Nl)] = {Product::kBf16, block_tile_to_bf16<Iq4NlBlock>, kUnpackCurvesFromRows};
}

inline void pack_with_groups(const PackArgs& args) {
  if (args.act == ActType::kBf16Groups) return pack_bf16_groups(args);
  if (args.act == ActType::kDigitPairs) return kernels_avx512_vnni().pack(args);
  pack_with_digit_groups(args);  // rounds to BF16 by this instruction set's own instruction
}

/// `base` is the table of avx512_vnni. What is not multiplied in BF16 comes from it: f32, products of int8 by int8, FP16 weights (which
/// have more bits than BF16 holds), fp8-g128, one row of blocks of GGUF, and few rows of iq4_xs and iq4_nl.
inline KernelTable table_over(const KernelTable& base) {
  KernelTable table = base;
  table.isa = "avx512_bf16";
  table.pack = pack_with_groups;
  table.to_bf16 = row_to_bf16;
  table.products[int(Product::kBf16)] = {ActType::kBf16, 2, 2, kRowBlock, multiply<DotBf16>, "matmul_bf16_bf16_f32acc"};
  table.products[int(Product::kInt8)] = {ActType::kBf16,           4, 4, kRowBlock, multiply_int8_by_dot,
                                         "matmul_int8_bf16_f32acc"};
  table.products[int(Product::kFp8)] = {ActType::kBf16, 4, 4, kRowBlock, multiply_fp8_by_dot, "matmul_fp8_bf16_f32acc"};
  table.products[int(Product::kInt8Group)] = {
      ActType::kBf16, 4, kGroupColumns, kInt8GroupRows, multiply_int8_group_by_dot, "matmul_int8g32_bf16_f32acc"};
  table.products[int(Product::kInt4)] = {ActType::kBf16,           2, kGroupColumns, kRowBlock, multiply_int4_by_dot,
                                         "matmul_int4_bf16_f32acc"};
  table.products[int(Product::kInt4Zero)] = {
      ActType::kBf16, 2, kGroupColumns, kRowBlock, multiply_int4_zero_by_dot, "matmul_int4zp_bf16_f32acc"};
  table.products[int(Product::kMxfp4)] = {
      ActType::kBf16, 2, kGroupColumns, kRowBlock, multiply_mxfp4_by_dot, "matmul_mxfp4_bf16_f32acc"};
  table.unpack[int(Product::kInt8)] = {Product::kBf16, int8_tile_to_bf16};
  table.unpack[int(Product::kFp8)] = {Product::kBf16, fp8_tile_to_bf16};
  table.unpack[int(Product::kInt8Group)] = {Product::kBf16, int8_group_tile_to_bf16};
  table.attend_bf16 = {ActType::kBf16, 2, kRowBlock, attend<DotBf16>, "attention_bf16_bf16_f32acc"};
  use_blocks_in_bf16(table);
  // The BF16 kernels read the tiles of these products for any number of rows, so that nothing is unpacked.
  constexpr Product kInPlace[] = {Product::kBf16, Product::kInt4, Product::kInt4Zero, Product::kMxfp4};
  for (const Product product : kInPlace) table.unpack[int(product)] = {};
  return table;
}

}  // namespace avx512_bf16

const KernelTable& kernels_avx512_bf16() {
  static const KernelTable table = avx512_bf16::table_over(kernels_avx512_vnni());
  return table;
}

}  // namespace secondsource::cpu
