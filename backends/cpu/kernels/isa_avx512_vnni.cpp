// AVX-512 F, BW, VL, DQ with VNNI: Cascade Lake and Ice Lake, which have no BF16.

#define SS_CPU_ISA avx512_vnni
#define SS_CPU_SIMD_AVX512

#include "cpu/kernels/matmul_quantized_groups-inl.h"
#include "cpu/kernels/matmul_vnni-inl.h"

namespace secondsource::cpu {
namespace avx512_vnni {

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
