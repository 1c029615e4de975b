#pragma once
// Which products are multiplied by digits on CPUs that have vpdpbusd but no BF16. This instruction multiplies four times as many columns as
// a multiply-add in f32, so that activations in three digits (activation_digits-inl.h) are multiplied at up to 1.33 times the peak of f32,
// and codes need not be widened. For any number of rows this is faster than f32, unless codes take many instructions to make: unpacking to
// f32 makes them once for all rows.

#include "cpu/kernels/byte_sums_vnni-inl.h"
#include "cpu/kernels/matmul_codes-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Rows of a block. Each row has three sums. With AVX-512 there are no registers for those of more than six rows; with AVX2 the sums of two
/// rows take 12 of the 16 registers.
inline constexpr int kDigitRows = kRowBlock >= 12 ? 6 : 2;

/// Registers the kernel that multiplies by digits for any number of rows.
template <Product kProduct, typename Kernel, typename Sums = DigitSums>
void use_digits_for_all(KernelTable& table, const char* name) {
  ProductKernel& product = table.products[int(kProduct)];
  product = codes_kernel<Sums, Kernel, kDigitRows>(product.k_multiple, name);
  table.unpack[int(kProduct)] = {};
}

/// Registers the kernel that multiplies by digits for up to 24 rows. For more rows the unpacking to f32 stays in the table.
template <Product kProduct, typename Kernel>
void use_digits_for_few(KernelTable& table, const char* name) {
  const Unpacking unpacking = table.unpack[int(kProduct)];
  use_digits_for_all<kProduct, Kernel>(table, name);
  table.unpack[int(kProduct)] = {unpacking.into, unpacking.unpack, kUnpackFromRows};
}

/// Registers kernels that multiply by digits for all products that are faster in this way than in f32. Each instruction set registers q6_k
/// itself, because the number of rows from which f32 is faster differs. The table has ratios of multiply-adds per second, digits to f32,
/// for one thread of a Zen 5 and 2048 x 16384: the least and the largest of the types in a line, each a median of two or three turns in
/// alternation (2026-11-30).
///
///                                      4 rows         12             24             64             512
///   int8, int8-g32, int4, mxfp4, q4_k  1.22 to 1.38   1.08 to 1.22   1.15 to 1.32   1.20 to 1.28   1.07 to 1.17   avx512_vnni
///   the same                           1.15 to 1.55   1.16 to 1.34   -              1.15 to 1.44   1.06 to 1.34   avx2_vnni
///   q5_k, q5_0, q5_1, q6_k             -              1.06 to 1.80   1.08 to 1.46   1.02 to 1.22   0.93 to 1.06   avx512_vnni
///   q2_k, q3_k, nvfp4                  -              1.31 to 1.56   1.09 to 1.23   0.98 to 1.06   0.88 to 0.92   avx512_vnni
inline void use_digits(KernelTable& table) {
  use_digits_for_all<Product::kInt8, Int8RowProduct, DigitSumsInOrder>(table, "matmul_int8_digits_f32acc");
  use_digits_for_all<Product::kInt8Group, Int8GroupProduct, DigitSumsInOrder>(table, "matmul_int8g32_digits_f32acc");
  use_digits_for_all<Product::kInt4, NibbleProduct<Int4Codes>>(table, "matmul_int4_digits_f32acc");
  use_digits_for_all<Product::kInt4Zero, NibbleProduct<Int4ZeroCodes>>(table, "matmul_int4zp_digits_f32acc");
  use_digits_for_all<Product::kMxfp4, NibbleProduct<Mxfp4Codes>>(table, "matmul_mxfp4_digits_f32acc");
  use_digits_for_all<Product::kQ4K, MinimaBlockProduct<false>>(table, "matmul_q4k_digits_f32acc");
  use_digits_for_all<Product::kQ41, GroupBlockProduct<Q41Block>>(table, "matmul_q4_1_digits_f32acc");
  use_digits_for_all<Product::kIq4Nl, GroupBlockProduct<Iq4NlBlock>>(table, "matmul_iq4nl_digits_f32acc");
  use_digits_for_all<Product::kIq4Xs, Iq4XsProduct>(table, "matmul_iq4xs_digits_f32acc");
  use_digits_for_few<Product::kQ5K, MinimaBlockProduct<true>>(table, "matmul_q5k_digits_f32acc");
  use_digits_for_few<Product::kQ50, GroupBlockProduct<Q50Block>>(table, "matmul_q5_0_digits_f32acc");
  use_digits_for_few<Product::kQ51, GroupBlockProduct<Q51Block>>(table, "matmul_q5_1_digits_f32acc");
  use_digits_for_few<Product::kQ2K, QuadProduct<false>>(table, "matmul_q2k_digits_f32acc");
  use_digits_for_few<Product::kQ3K, QuadProduct<true>>(table, "matmul_q3k_digits_f32acc");
  use_digits_for_few<Product::kNvfp4, Nvfp4Product>(table, "matmul_nvfp4_digits_f32acc");
}

}  // namespace secondsource::cpu::SS_CPU_ISA
