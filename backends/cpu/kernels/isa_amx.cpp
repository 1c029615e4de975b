// AMX tiles (BF16, INT8) above AVX-512: Sapphire Rapids and later.

#define SS_CPU_ISA amx
#define SS_CPU_SIMD_AVX512

#ifdef SECONDSOURCE_CPU_TILE_MODEL
#include "cpu/kernels/amx_tile_model-inl.h"
#else
#include "cpu/kernels/amx_tiles-inl.h"
#endif
#include "cpu/kernels/attention_amx-inl.h"
#include "cpu/kernels/matmul_amx-inl.h"
#include "cpu/kernels/matmul_amx_blocks-inl.h"
#include "cpu/kernels/matmul_amx_digits-inl.h"
#include "cpu/kernels/matmul_amx_pieces-inl.h"
#include "cpu/kernels/matmul_bf16_dot-inl.h"
#include "cpu/kernels/matmul_nvfp4-inl.h"
#include "cpu/kernels/matmul_vnni-inl.h"
#include "cpu/kernels/unpack_pieces-inl.h"

namespace secondsource::cpu {
namespace amx {

/// From these numbers of rows on, weights are unpacked to BF16 instead of being multiplied by digits or pieces. One thread of a Xeon with
/// AMX took these shares of the time of unpacked weights: by digits 0.8 for 16 rows of int8, 1.06 for 24, and 1.06 for 12 rows of int8-g32;
/// in pieces 0.85 for 16 rows of int4 (November 2026).
inline constexpr int kUnpackInt8FromRows = kDigitRows + 1;
inline constexpr int kUnpackGroupsFromRows = 9;
/// Fewer rows of fp8 are widened to f32. One thread of a Xeon with AMX took 1.7 to 2.0 ms for 1 row of 2048 x 16384, 2.5 to 2.6 for
/// 4, 3.7 to 4.0 for 8 and, in tiles, 3.4 to 3.6 for 9; by vdpbf16ps 1.6, 3.3, 5.7 and 6.5 (November 2026).
inline constexpr int kUnpackFp8FromRows = 9;
inline constexpr int kUnpackInt4FromRows = kPieceRows + 1;
/// For int4 with zero points, which no kernel with tile registers reads without unpacking. Fewer rows are multiplied by digits, as on
/// avx512_vnni. One thread of a Xeon with AMX had with them, over tiles, 1.00 of the rate for 8 rows, 0.98 for 9, 0.90 for 10 and 0.78 for
/// 12; over f32 it had 1.23 for 1 row, 1.42 for 4 and 1.39 for 6 (medians of five and six pairs, December 2026).
inline constexpr int kUnpackInt4ZeroFromRows = 9;
/// With fewer rows, weights of f16 are widened to f32, and for int4-w8a8 the sums of each group are scaled. For f16, one thread of a Xeon
/// with AMX had 1.11 of the rate of f32 with 16 rows (1.0 beside a busy hardware thread of the same core), 1.20 with 20 and 1.46 with 24.
/// For int4-w8a8 it had 0.91 of the rate of scaled sums with 128 rows and 1.27 with 256 (November 2026).
inline constexpr int kUnpackF16FromRows = 17;
inline constexpr int kUnpackInt4QuantizedFromRows = 160;

inline constexpr BlockKernel kBf16Blocks = {configure_blocks<Tiles>, multiply_blocks<Tiles, AmxBf16>, nullptr,
                                            release_blocks<Tiles>};
inline constexpr BlockKernel kU8Blocks = {configure_blocks<Tiles>, multiply_blocks<Tiles, AmxU8>, convert_sums<DotU8>,
                                          release_blocks<Tiles>};

template <int kRowPieces>
inline constexpr BlockKernel kPieceBlocks = {configure_blocks<Tiles>, multiply_blocks<Tiles, AmxBf16Pieces<kRowPieces>>,
                                             nullptr, release_blocks<Tiles>};

inline void use_attention_tiles(KernelTable& table) {
  table.attend_many_bf16 = {.act = ActType::kBf16,
                            .vec = kOperandDepth,
                            .max_rows = kTileLines,
                            .attend = attend_amx<Tiles, Bf16Cache>,
                            .name = table.attend_bf16.name,
                            .from_rows = 7,
                            .row_multiple = kTileLines,
                            .operand_bytes = attention_operand_bytes};
  table.attend_many_int8 = table.attend_many_bf16;
  table.attend_many_int8.attend = attend_amx<Tiles, Int8Cache<int8_tile_to_bf16>>;
  // Which of the two kernels is used for an int8 cache depends on the number of query rows that a sequence has in a step. Reports have one
  // name for an operation, so this name mentions both.
  table.attend_int8.name = "attention_int8_digits_or_bf16_f32acc";
  table.attend_many_int8.name = table.attend_int8.name;
  table.attend_many_int8.from_rows = 8;
}

inline void pack_as_base(const PackArgs& args) {
  if (args.act == ActType::kBf16Pieces) return pack_pieces(args);
  kernels_avx512_bf16().pack(args);
}

inline constexpr ProductKernel kInt8GroupInTiles = {ActType::kDigits,
                                                    kGroupColumns,
                                                    kGroupColumns,
                                                    kDigitRows,
                                                    multiply_digit_groups<Tiles, Int8Groups, kActivationDigits>,
                                                    "matmul_int8g32_digits_f32acc"};
inline constexpr ProductKernel kInt4InPieces = {
    ActType::kBf16Pieces,
    kGroupColumns,
    kGroupColumns,
    kPieceRows,
    multiply_pieces<Tiles, Int4Groups, nibble_group_values<Int4Pairs>, load_f16>,
    "matmul_int4_bf16pieces_f32acc"};
inline constexpr ProductKernel kMxfp4InPieces = {
    ActType::kBf16Pieces,
    kGroupColumns,
    kGroupColumns,
    kPieceRows,
    multiply_pieces<Tiles, Mxfp4Groups, nibble_group_values<Mxfp4Pairs>, load_e8m0>,
    "matmul_mxfp4_bf16pieces_f32acc"};
inline constexpr ProductKernel kInt8GroupQuantizedInTiles = {ActType::kI8,
                                                             kGroupColumns,
                                                             kGroupColumns,
                                                             kAmxRows,
                                                             multiply_digit_groups<Tiles, Int8Groups, 1>,
                                                             "matmul_int8g32_int8_f32acc"};
inline constexpr ProductKernel kInt4QuantizedInTiles = {
    ActType::kI8Nibbles,      kGroupColumns, kGroupColumns, kAmxRows, multiply_digit_groups<Tiles, Int4Groups, 1>,
    "matmul_int4_int8_f32acc"};

/// From these numbers of rows on, groups are multiplied in tile registers; fewer rows by vpdpbusd, as on avx512_vnni. One thread of a Xeon
/// with AMX (2048 x 16384; medians of four pairs on quiet cores, December 2026) had with vpdpbusd, over tile registers, these rates:
///
///   rows                 1      2      3      4      5      6      8      10     12     16
///   int8-g32             1.01   1.10   0.96   0.84   1.02   1.10   -      -      -      -
///   int4                 1.05   1.09   1.06   1.03   1.09   0.90 (6 rows of int4 and mxfp4 beside pieces)
///   mxfp4                1.19   1.13   1.05   1.10   1.05   0.99
///   int8-g32-w8a8        1.09   1.06   -      1.04   0.82   -      -      -      -      -
///   int4-w8a8            1.07   1.16   -      1.15   1.14   1.22   1.22   1.12   1.00   0.75
inline constexpr int kInt8GroupTilesFromRows = 3;
inline constexpr int kPiecesFromRows = 6;
inline constexpr int kInt8GroupQuantizedTilesFromRows = 5;
inline constexpr int kInt4QuantizedTilesFromRows = 13;

template <Product kProduct>
void use_tiles_from_rows(KernelTable& table, const ProductKernel& in_tiles, int from_rows) {
  ProductKernel& product = table.products[int(kProduct)];
  product = kernels_avx512_vnni().products[int(kProduct)];
  product.many = &in_tiles;
  product.many_from_rows = from_rows;
}

inline void use_digits(KernelTable& table) {
  table.pack = pack_with_digits<pack_as_base>;
  table.products[int(Product::kInt8)] = {ActType::kDigits,           64, 4, kDigitRows, multiply_int8_digits<Tiles>,
                                         "matmul_int8_digits_f32acc"};
  table.products[int(Product::kInt4Zero)] = kernels_avx512_vnni().products[int(Product::kInt4Zero)];
  use_tiles_from_rows<Product::kInt8Group>(table, kInt8GroupInTiles, kInt8GroupTilesFromRows);
  use_tiles_from_rows<Product::kInt4>(table, kInt4InPieces, kPiecesFromRows);
  use_tiles_from_rows<Product::kMxfp4>(table, kMxfp4InPieces, kPiecesFromRows);
  use_tiles_from_rows<Product::kInt8GroupQuantized>(table, kInt8GroupQuantizedInTiles,
                                                    kInt8GroupQuantizedTilesFromRows);
  use_tiles_from_rows<Product::kInt4Quantized>(table, kInt4QuantizedInTiles, kInt4QuantizedTilesFromRows);
}

template <ActType kAct>
constexpr ProductKernel piece_product(const char* name) {
  constexpr int kRowPieces = kAct == ActType::kBf16Pieces ? 2 : 1;
  return {kAct,
          kGroupColumns,
          1,
          kAmxRows,
          multiply_one_block<Tiles, AmxBf16Pieces<kRowPieces>>,
          name,
          "",
          &kPieceBlocks<kRowPieces>};
}

inline void use_pieces(KernelTable& table) {
  table.products[int(Product::kTwoPieces)] = piece_product<ActType::kBf16Pieces>("matmul_2xbf16_2xbf16_f32acc");
  table.products[int(Product::kTwoPiecesQuantized)] = piece_product<ActType::kI8InBf16>("matmul_2xbf16_int8_f32acc");
  table.unpack[int(Product::kF16)] = {Product::kTwoPieces, f16_tile_to_pieces, kUnpackF16FromRows};
  table.unpack[int(Product::kInt4Quantized)] = {Product::kTwoPiecesQuantized, int4_tile_to_pieces,
                                                kUnpackInt4QuantizedFromRows};
}

/// From this many rows on, blocks of GGUF are unpacked for the tile registers, and so is nvfp4, which was not timed. Fewer are multiplied
/// by digits, as on avx512_vnni: in tiles one thread of a Xeon with AMX took 1.23 to 1.63 of the time for 4 rows of eight types and 0.78 to
/// 1.38 (median 1.11) for 6; compared with f32 it took 0.70 to 1.12 (0.88) for 7 and 0.58 to 1.05 (0.87) for 8 (medians of three to five
/// pairs beside a busy neighbour, November 2026).
inline constexpr int kUnpackBlocksFromRows = 7;

template <Product kProduct, typename Block>
void use_block_tiles(KernelTable& table) {
  table.products[int(kProduct)] = kernels_avx512_vnni().products[int(kProduct)];
  table.unpack[int(kProduct)] = {Product::kBf16, block_tile_to_bf16<Block>, kUnpackBlocksFromRows};
}

inline void use_blocks_in_tiles(KernelTable& table) {
  use_block_tiles<Product::kQ4K, Q4KBlock>(table);
  use_block_tiles<Product::kQ5K, Q5KBlock>(table);
  use_block_tiles<Product::kQ6K, Q6KBlock>(table);
  use_block_tiles<Product::kQ2K, Q2KBlock>(table);
  use_block_tiles<Product::kQ3K, Q3KBlock>(table);
  use_block_tiles<Product::kQ41, Q41Block>(table);
  use_block_tiles<Product::kQ50, Q50Block>(table);
  use_block_tiles<Product::kQ51, Q51Block>(table);
  use_block_tiles<Product::kIq4Xs, Iq4XsBlock>(table);
  use_block_tiles<Product::kIq4Nl, Iq4NlBlock>(table);
  use_block_tiles<Product::kNvfp4, Nvfp4Block>(table);
}

inline KernelTable table_over(const KernelTable& base) {
  KernelTable table = base;
  table.isa = "amx";
  table.products[int(Product::kBf16)] = {
      ActType::kBf16, 32, 2, kAmxRows, multiply_amx<Tiles, AmxBf16, DotBf16>, "matmul_bf16_bf16_f32acc", "",
      &kBf16Blocks};
  table.products[int(Product::kInt8Quantized)] = {
      ActType::kU8, 64, 4, kAmxRows, multiply_amx<Tiles, AmxU8, DotU8>, "matmul_int8_int8_i32acc", "", &kU8Blocks};
  table.unpack[int(Product::kInt4)] = {Product::kBf16, int4_tile_to_bf16, kUnpackInt4FromRows};
  table.unpack[int(Product::kMxfp4)] = {Product::kBf16, mxfp4_tile_to_bf16, kUnpackInt4FromRows};
  table.unpack[int(Product::kInt8)] = {Product::kBf16, int8_tile_to_bf16, kUnpackInt8FromRows};
  table.unpack[int(Product::kFp8)] = {Product::kBf16, fp8_tile_to_bf16, kUnpackFp8FromRows};
  table.unpack[int(Product::kInt8Group)] = {Product::kBf16, int8_group_tile_to_bf16, kUnpackGroupsFromRows};
  table.unpack[int(Product::kInt8GroupQuantized)] = {};
  table.unpack[int(Product::kInt4Zero)] = {Product::kBf16, int4_zero_tile_to_bf16, kUnpackInt4ZeroFromRows};
  // CPUs with AMX do twice as many multiply-adds in f32 as by vdpbf16ps (product_choice.cpp).
  table.products[int(Product::kFp8)] = kernels_avx512().products[int(Product::kFp8)];
  table.products[int(Product::kFp8)].isa = kernels_avx512().isa;
  use_digits(table);
  use_pieces(table);
  use_blocks_in_tiles(table);
  use_attention_tiles(table);
  return table;
}

}  // namespace amx

const KernelTable& kernels_amx() {
  static const KernelTable table = amx::table_over(kernels_avx512_bf16());
  return table;
}

}  // namespace secondsource::cpu
