#include "unit/cpu/amx_model.h"

#define SS_CPU_ISA amx_model

#include "core/e2m1.h"
#include "core/half.h"
#include "cpu/kernels/amx_tile_model-inl.h"
#include "cpu/kernels/attention_amx-inl.h"
#include "cpu/kernels/matmul_amx-inl.h"
#include "cpu/kernels/matmul_amx_blocks-inl.h"
#include "cpu/kernels/matmul_amx_digits-inl.h"
#include "cpu/kernels/matmul_amx_pieces-inl.h"
#include "cpu/kernels/row_kernels-inl.h"

namespace secondsource::cpu {
namespace amx_model {

// The policies for a single row. They make the sums and results of the AVX-512 policies with portable lanes.
struct OneRowBf16 : WidenBf16 {
  using Act = std::uint16_t;
  static void step(Acc& acc, const Weights& w, const Act* x) {
    const float even = to_float(Bf16{x[0]});
    const float odd = to_float(Bf16{x[1]});
    acc = fma(w.odd, broadcast(odd), fma(w.even, broadcast(even), acc));
  }
};
struct OneRowU8 : Int8ByI16 {
  using Act = std::uint8_t;
  static constexpr int kActOffset = 128;
  static void step(Acc& acc, const Weights& w, const Act* x) {
    const std::int16_t quad[4] = {x[0], x[2], x[1], x[3]};
    acc = dot_int8_i16(acc, w, quad);
  }
  static F32 result(const Acc& acc, const std::int32_t* row_sums) {
    const I32 sums = load_i32(row_sums);
    return to_f32({acc.a - sums.a * 128, acc.b - sums.b * 128, acc.c - sums.c * 128, acc.d - sums.d * 128});
  }
};

constexpr BlockKernel kBf16Blocks = {configure_blocks<Tiles>, multiply_blocks<Tiles, AmxBf16>, nullptr,
                                     release_blocks<Tiles>};
constexpr BlockKernel kU8Blocks = {configure_blocks<Tiles>, multiply_blocks<Tiles, AmxU8>, convert_sums<OneRowU8>,
                                   release_blocks<Tiles>};

template <int kRowPieces>
constexpr BlockKernel kPieceBlocks = {configure_blocks<Tiles>, multiply_blocks<Tiles, AmxBf16Pieces<kRowPieces>>,
                                      nullptr, release_blocks<Tiles>};
template <int kRowPieces>
constexpr ProductKernel kPieceProduct = {
    kRowPieces == 2 ? ActType::kBf16Pieces : ActType::kI8InBf16, kGroupColumns,   1,  kAmxRows,
    multiply_one_block<Tiles, AmxBf16Pieces<kRowPieces>>,        "matmul_pieces", "", &kPieceBlocks<kRowPieces>};

/// int8 [k / 4][16][4] to BF16 [k / 2][16][2].
void int8_to_bf16(const std::byte* tile, std::int64_t k, std::byte* out) {
  for (std::int64_t i = 0; i < k * kTileRows; ++i) {
    const std::int64_t column = i / (4 * kTileRows) * 4 + i % 4;
    const std::int64_t row = i / 4 % kTileRows;
    const std::int64_t at = (column / 2 * kTileRows + row) * 2 + column % 2;
    const auto value = static_cast<float>(static_cast<std::int8_t>(tile[i]));
    write(out + 2 * at, to_bf16(value).bits);
  }
}

/// The values of a group of int4 as BF16 [k / 2][16][2], by arithmetic on single nibbles.
void int4_group_to_bf16(const std::byte* group, std::byte* to) {
  for (int column = 0; column < kGroupColumns; ++column) {
    for (int row = 0; row < kTileRows; ++row) {
      const auto lane = read<std::uint32_t>(group + column / 8 * 64 + row * 4);
      const int nibble = static_cast<int>(lane >> (16 * (column % 2) + 4 * (column % 8 / 2)) & 0xfU);
      const auto value = static_cast<float>(nibble < 8 ? nibble : nibble - 16);
      write(to + ((column / 2 * kTileRows + row) * 2 + column % 2) * 2, to_bf16(value).bits);
    }
  }
}

/// The same for mxfp4.
void mxfp4_group_to_bf16(const std::byte* group, std::byte* to) {
  for (int column = 0; column < kGroupColumns; ++column) {
    for (int row = 0; row < kTileRows; ++row) {
      const auto lane = read<std::uint32_t>(group + column / 8 * 64 + row * 4);
      const auto nibble = static_cast<std::uint8_t>(lane >> (16 * (column % 2) + 4 * (column % 8 / 2)) & 0xfU);
      write(to + ((column / 2 * kTileRows + row) * 2 + column % 2) * 2, to_bf16(to_float(E2m1{nibble})).bits);
    }
  }
}

constexpr ProductKernel kMxfp4Pieces = {ActType::kBf16Pieces,
                                        kGroupColumns,
                                        kGroupColumns,
                                        kPieceRows,
                                        multiply_pieces<Tiles, Mxfp4Groups, mxfp4_group_to_bf16, load_e8m0>,
                                        "matmul_mxfp4_pieces"};
constexpr ProductKernel kInt4Pieces = {ActType::kBf16Pieces,
                                       kGroupColumns,
                                       kGroupColumns,
                                       kPieceRows,
                                       multiply_pieces<Tiles, Int4Groups, int4_group_to_bf16, load_f16>,
                                       "matmul_int4_pieces"};

void pack_as_base(const PackArgs& args) {
  if (args.act == ActType::kBf16Pieces) return pack_pieces(args);
  pack_rows(args);
}

template <typename Groups, int kDigits>
ProductKernel group_product(ActType act) {
  return {.act = act,
          .vec = kGroupColumns,
          .k_multiple = kGroupColumns,
          .max_rows = kDigits == 1 ? kAmxRows : kDigitRows,
          .multiply = multiply_digit_groups<Tiles, Groups, kDigits>,
          .name = "matmul_groups"};
}

KernelTable model_table() {
  KernelTable table;
  table.isa = "amx-model";
  table.products[int(Product::kBf16)] = {
      ActType::kBf16, 32, 2, kAmxRows, multiply_amx<Tiles, AmxBf16, OneRowBf16>, "matmul_bf16_bf16_f32acc", "",
      &kBf16Blocks};
  table.products[int(Product::kInt8Quantized)] = {
      ActType::kU8, 64, 4, kAmxRows, multiply_amx<Tiles, AmxU8, OneRowU8>, "matmul_int8_int8_i32acc", "", &kU8Blocks};
  table.attend_many_bf16 = {.act = ActType::kBf16,
                            .vec = kOperandDepth,
                            .max_rows = kTileLines,
                            .attend = attend_amx<Tiles, Bf16Cache>,
                            .row_multiple = kTileLines,
                            .operand_bytes = attention_operand_bytes};
  table.attend_many_int8 = table.attend_many_bf16;
  table.attend_many_int8.attend = attend_amx<Tiles, Int8Cache<int8_to_bf16>>;
  table.products[int(Product::kInt8)] = {ActType::kDigits,           64, 4, kDigitRows, multiply_int8_digits<Tiles>,
                                         "matmul_int8_digits_f32acc"};
  table.products[int(Product::kInt8Group)] = group_product<Int8Groups, kActivationDigits>(ActType::kDigits);
  table.products[int(Product::kInt4)] = kInt4Pieces;
  table.products[int(Product::kMxfp4)] = kMxfp4Pieces;
  table.products[int(Product::kInt8GroupQuantized)] = group_product<Int8Groups, 1>(ActType::kI8);
  table.products[int(Product::kInt4Quantized)] = group_product<Int4Groups, 1>(ActType::kI8Nibbles);
  table.products[int(Product::kTwoPieces)] = kPieceProduct<2>;
  table.products[int(Product::kTwoPiecesQuantized)] = kPieceProduct<1>;
  table.pack = pack_with_digits<pack_as_base>;
  return table;
}
}  // namespace amx_model

const KernelTable& kernels_amx_model() {
  static const KernelTable table = amx_model::model_table();
  return table;
}

}  // namespace secondsource::cpu
