// AVX-512 F, BW, VL, DQ with VBMI, VNNI and BF16: Zen 4, Sapphire Rapids and later.

#define SS_CPU_ISA avx512_bf16
#define SS_CPU_SIMD_AVX512

#include "cpu/kernels/attention-inl.h"
#include "cpu/kernels/matmul_bf16_dot-inl.h"
#include "cpu/kernels/matmul_vnni-inl.h"
#include "cpu/kernels/row_kernels-inl.h"

namespace secondsource::cpu {
namespace avx512_bf16 {

/// `base` is the table of avx512. What is not multiplied in BF16 comes from it: f32, FP16 weights (which have more bits than BF16
/// holds), FP8 in blocks and K-quants.
inline KernelTable table_over(const KernelTable& base) {
  KernelTable table = base;
  table.isa = "avx512_bf16";
  table.pack = pack_rows;
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
  table.unpack[int(Product::kInt8)] = {Product::kBf16, int8_tile_to_bf16};
  table.unpack[int(Product::kFp8)] = {Product::kBf16, fp8_tile_to_bf16};
  table.unpack[int(Product::kInt8Group)] = {Product::kBf16, int8_group_tile_to_bf16};
  table.unpack[int(Product::kInt8GroupQuantized)] = {Product::kInt8GroupOffset, int8_group_tile_with_offsets};
  table.unpack[int(Product::kInt4Quantized)] = {Product::kInt8GroupOffset, int4_tile_with_offsets};
  table.attend_bf16 = {ActType::kBf16, 2, kRowBlock, attend<DotBf16>, "attention_bf16_bf16_f32acc"};
  table.attend_int8 = {ActType::kBf16, 4, kRowBlock, attend<DotInt8, false>, "attention_int8_bf16_f32acc"};
  // The BF16 kernels read the tiles of these products for any number of rows, so that nothing is unpacked.
  constexpr Product kInPlace[] = {Product::kBf16, Product::kInt4, Product::kInt4Zero, Product::kMxfp4};
  for (const Product product : kInPlace) table.unpack[int(product)] = {};
  return table;
}

}  // namespace avx512_bf16

const KernelTable& kernels_avx512_bf16() {
  static const KernelTable table = avx512_bf16::table_over(kernels_avx512());
  return table;
}

}  // namespace secondsource::cpu
