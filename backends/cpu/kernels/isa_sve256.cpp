// Armv8.6-A with SVE of 256 bits, BF16 and int8 dot products: Neoverse V1 (Graviton 3). Where SVE has 128 bits, as in
// Neoverse N2 and V2, neon_bf16 is as wide.

#define SS_CPU_ISA sve256
#define SS_CPU_SIMD_SVE

#include "cpu/kernels/kernel_table-inl.h"
#include "cpu/kernels/matmul_sve_dot-inl.h"

namespace secondsource::cpu {
namespace sve256 {

inline KernelTable dot_table() {
  KernelTable table = widening_table("sve256");
  table.products[int(Product::kBf16)] = {ActType::kBf16,           4, 2, kRowBlock, multiply_row_pairs<PairBf16>,
                                         "matmul_bf16_bf16_f32acc"};
  table.unpack[int(Product::kBf16)] = {};
  table.products[int(Product::kInt8Quantized)] = {
      ActType::kU8, 8, 4, kRowBlock, multiply_row_pairs<PairInt8>, "matmul_int8_int8_i32acc"};
  table.products[int(Product::kInt8GroupQuantized)] = {ActType::kU8,
                                                       8,
                                                       kGroupColumns,
                                                       kRowBlock,
                                                       multiply_row_pair_groups<PairInt8, Int8Groups>,
                                                       "matmul_int8g32_int8_f32acc"};
  table.products[int(Product::kInt4Quantized)] = {
      ActType::kU8Nibbles,      8, kGroupColumns, kRowBlock, multiply_row_pair_groups<PairInt8, Int4Groups>,
      "matmul_int4_int8_f32acc"};
  table.attend_bf16 = {ActType::kBf16, 2, kRowBlock, attend<DotBf16>, "attention_bf16_bf16_f32acc"};
  return table;
}

}  // namespace sve256

const KernelTable& kernels_sve256() {
  static const KernelTable table = sve256::dot_table();
  return table;
}

}  // namespace secondsource::cpu
