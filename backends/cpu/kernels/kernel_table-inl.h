#pragma once
// The table of the f32 kernels, with which the table of every instruction set begins.

#include "cpu/kernels/attention-inl.h"
#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_gguf_blocks-inl.h"
#include "cpu/kernels/matmul_groups-inl.h"
#include "cpu/kernels/matmul_k_blocks-inl.h"
#include "cpu/kernels/matmul_nvfp4-inl.h"
#include "cpu/kernels/matmul_quantized_groups-inl.h"
#include "cpu/kernels/row_kernels-inl.h"
#include "cpu/kernels/unpack_f32-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// A table whose matmuls widen weights to f32 in registers, except for quantized activations.
inline KernelTable widening_table(const char* isa) {
  KernelTable table;
  table.isa = isa;
  table.products[int(Product::kF32)] = {ActType::kF32, 1, 1, kRowBlock, multiply<PlainF32>, "matmul_f32"};
  table.products[int(Product::kBf16)] = {ActType::kF32, 2, 2, kRowBlock, multiply<WidenBf16>, "matmul_bf16_f32acc"};
  table.products[int(Product::kF16)] = {ActType::kF32, 1, 1, kRowBlock, multiply<WidenF16>, "matmul_f16_f32acc"};
  table.products[int(Product::kInt8)] = {ActType::kF32,       4, 4, kRowBlock, multiply<WidenInt8, false>,
                                         "matmul_int8_f32acc"};
  table.products[int(Product::kFp8)] = {ActType::kF32, 4, 4, kRowBlock, multiply<WidenFp8, false>, "matmul_fp8_f32acc"};
  table.products[int(Product::kInt8Group)] = {ActType::kF32,          4, kGroupColumns, kRowBlock, multiply_int8_group,
                                              "matmul_int8g32_f32acc"};
  table.products[int(Product::kInt4)] = {ActType::kF32,       1, kGroupColumns, kRowBlock, multiply_int4,
                                         "matmul_int4_f32acc"};
  table.products[int(Product::kInt4Zero)] = {ActType::kF32,         1, kGroupColumns, kRowBlock, multiply_int4_zero,
                                             "matmul_int4zp_f32acc"};
  table.products[int(Product::kMxfp4)] = {ActType::kF32,        1, kGroupColumns, kRowBlock, multiply_mxfp4,
                                          "matmul_mxfp4_f32acc"};
  table.products[int(Product::kInt8Quantized)] = {
      ActType::kI16, 4, 4, kRowBlock, multiply<Int8ByI16>, "matmul_int8_int8_i32acc"};
  table.products[int(Product::kInt8GroupQuantized)] = {ActType::kI16,
                                                       4,
                                                       kGroupColumns,
                                                       kRowBlock,
                                                       multiply_quantized_groups<Int8ByI16, Int8Groups>,
                                                       "matmul_int8g32_int8_f32acc"};
  table.products[int(Product::kInt4Quantized)] = {
      ActType::kI16Nibbles,     8, kGroupColumns, kRowBlock, multiply_quantized_groups<Int8ByI16, Int4Groups>,
      "matmul_int4_int8_f32acc"};
  table.unpack[int(Product::kBf16)] = {Product::kF32, bf16_tile_to_f32};
  table.unpack[int(Product::kInt8)] = {Product::kF32, int8_tile_to_f32};
  table.unpack[int(Product::kFp8)] = {Product::kF32, fp8_tile_to_f32};
  table.unpack[int(Product::kInt8Group)] = {Product::kF32, int8_group_tile_to_f32};
  table.unpack[int(Product::kInt4)] = {Product::kF32, int4_tile_to_f32};
  table.unpack[int(Product::kInt4Zero)] = {Product::kF32, int4_zero_tile_to_f32};
  table.unpack[int(Product::kMxfp4)] = {Product::kF32, mxfp4_tile_to_f32};
  table.attend_bf16 = {ActType::kF32, 2, kRowBlock, attend<WidenBf16>, "attention_bf16_f32acc"};
  table.attend_int8 = {ActType::kF32, 4, kRowBlock, attend<WidenInt8, false>, "attention_int8_f32acc"};
  table.pack = pack_rows;
  table.finish = finish_rows;
  table.rms_norm = normalize_row;
  table.rotate = rotate_row;
  table.dot = dot_row;
  table.scale_into = scale_row;
  table.to_bf16 = row_to_bf16;
  table.unpack[int(Product::kF16)] = {Product::kF32, f16_tile_to_f32};
  // Activations have a scale for each group, too. They are packed in f32, multiplied by it.
  table.products[int(Product::kFp8Group)] = {ActType::kF32,          4, kFp8GroupColumns, kRowBlock, multiply_fp8_group,
                                             "matmul_fp8g128_f32acc"};
  table.unpack[int(Product::kFp8Group)] = {Product::kF32, fp8_group_tile_to_f32};
  // q4_k, q5_k and q6_k have a kernel for each number of rows of a block; the other blocks of GGUF have one for a single row
  // (use_gguf_blocks).
  table.products[int(Product::kQ4K)] = {ActType::kF32,      1, kBlockColumns, kRowBlock, multiply_k_blocks<Q4KBlock>,
                                        "matmul_q4k_f32acc"};
  table.products[int(Product::kQ6K)] = {ActType::kF32,      1, kBlockColumns, kRowBlock, multiply_k_blocks<Q6KBlock>,
                                        "matmul_q6k_f32acc"};
  table.products[int(Product::kQ5K)] = {ActType::kF32,      1, kBlockColumns, kRowBlock, multiply_k_blocks<Q5KBlock>,
                                        "matmul_q5k_f32acc"};
  table.unpack[int(Product::kQ5K)] = {Product::kF32, k_block_tile_to_f32<Q5KBlock>};
  table.unpack[int(Product::kQ4K)] = {Product::kF32, k_block_tile_to_f32<Q4KBlock>};
  table.unpack[int(Product::kQ6K)] = {Product::kF32, k_block_tile_to_f32<Q6KBlock>};
  use_gguf_blocks(table);
  use_blocks<Nvfp4Block>(table, Product::kNvfp4, "matmul_nvfp4_f32acc");
  use_blocks<Nvfp4Block>(table, Product::kNvfp4Quantized, "matmul_nvfp4_nvfp4_f32acc");
  table.attend_f32 = {ActType::kF32, 1, kRowBlock, attend<PlainF32>, "attention_f32"};
  // FP16 has more bits than BF16 holds. So a cache in FP16 is widened to f32, also by instruction sets that have BF16 products.
  table.attend_f16 = {ActType::kF32, 1, kRowBlock, attend<WidenF16>, "attention_f16_f32acc"};
  return table;
}

}  // namespace secondsource::cpu::SS_CPU_ISA
