// AVX-512 F, BW, VL, DQ with VNNI: Cascade Lake and Ice Lake, which have no BF16.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {
namespace avx512_vnni {
// Each uses the ones before.
// clang-format off
#include "cpu/kernels/simd_avx512.inc"
#include "cpu/kernels/row_kernels.inc"
#include "cpu/kernels/matmul_kernels.inc"
#include "cpu/kernels/matmul_group_quantized.inc"
#include "cpu/kernels/matmul_vnni.inc"
#include "cpu/kernels/attention_kernels.inc"
#include "cpu/kernels/table_of_kernels.inc"
// clang-format on

inline KernelTable vnni_table() {
  KernelTable table = widening_table("avx512_vnni");
  table.products[int(Product::kInt8Quantized)] = {
      ActType::kU8, 4, 4, kRowBlock, multiply<DotU8>, "matmul_int8_int8_i32acc"};
  table.products[int(Product::kInt8GroupQuantized)] = {
      ActType::kU8, 4, kGroupColumns, kRowBlock, multiply_quantized_groups<DotU8>, "matmul_int8g32_int8_f32acc"};
  table.products[int(Product::kInt8GroupOffset)] = {
      ActType::kU8, 4, kGroupColumns, kOffsetGroupRows, multiply_offset_groups, "matmul_int8g32_int8_f32acc"};
  table.unpack[int(Product::kInt8GroupQuantized)] = {Product::kInt8GroupOffset, int8_group_tile_with_offsets};
  return table;
}
}  // namespace avx512_vnni

const KernelTable& kernels_avx512_vnni() {
  static const KernelTable table = avx512_vnni::vnni_table();
  return table;
}

}  // namespace secondsource::cpu
