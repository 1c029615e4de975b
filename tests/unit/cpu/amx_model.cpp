#include "unit/cpu/amx_model.h"

#define SS_CPU_ISA amx_model

#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/e2m1.h"
#include "core/half.h"
#include "cpu/kernels/attention_amx-inl.h"
#include "cpu/kernels/matmul_amx-inl.h"
#include "cpu/kernels/matmul_amx_blocks-inl.h"
#include "cpu/kernels/matmul_amx_digits-inl.h"
#include "cpu/kernels/matmul_amx_pieces-inl.h"
#include "cpu/kernels/row_kernels-inl.h"

namespace secondsource::cpu {
namespace amx_model {

/// The tile state of one thread, as the pseudo-code of the Software Developer's Manual, volume 2, describes it.
struct State {
  bool configured = false;
  TileConfig config;
  std::byte tile[8][kTileLines][kLineBytes];
};
thread_local State state;

template <typename T>
T element(int tile, int row, int index) {
  T value;
  std::memcpy(&value, state.tile[tile][row] + index * int{sizeof(T)}, sizeof(T));
  return value;
}

struct ModelTiles {
  static void configure(const TileConfig& config) {
    SS_CHECK(config.palette == 1 && config.start_row == 0, "a palette that LDTILECFG takes");
    for (int tile = 0; tile < 8; ++tile) {
      SS_CHECK(config.rows[tile] <= 16 && config.bytes_per_row[tile] <= 64, "a tile's extents");
      // The instruction raises #GP if only one of the two is zero.
      SS_CHECK((config.rows[tile] == 0) == (config.bytes_per_row[tile] == 0), "a tile with rows has columns");
    }
    state = State{.configured = true, .config = config, .tile = {}};
  }
  static void release() { state.configured = false; }
  static void fence_stores() {}
  template <int kTile>
  static void zero() {
    check(kTile);
    std::memset(state.tile[kTile], 0, sizeof(state.tile[kTile]));
  }
  template <int kTile>
  static void load(const void* from, std::int64_t row_bytes = kLineBytes) {
    check(kTile);
    std::memset(state.tile[kTile], 0, sizeof(state.tile[kTile]));
    for (int row = 0; row < state.config.rows[kTile]; ++row) {
      const auto* const line = static_cast<const std::byte*>(from) + row * row_bytes;
      std::memcpy(state.tile[kTile][row], line, state.config.bytes_per_row[kTile]);
    }
  }
  /// TILELOADDT1 differs from TILELOADD in what stays in the caches alone.
  template <int kTile>
  static void stream_load(const void* from, std::int64_t row_bytes) {
    load<kTile>(from, row_bytes);
  }
  template <int kTile>
  static void store(void* to, std::int64_t row_bytes = kLineBytes) {
    check(kTile);
    for (int row = 0; row < state.config.rows[kTile]; ++row) {
      auto* const line = static_cast<std::byte*>(to) + row * row_bytes;
      std::memcpy(line, state.tile[kTile][row], state.config.bytes_per_row[kTile]);
    }
  }
  /// TDPBF16PS: even and odd elements are summed separately with fused multiply-adds that flush denormals, then added.
  template <int kSum, int kLeft, int kRight>
  static void dot_bf16() {
    check_product(kSum, kLeft, kRight);
    for (int m = 0; m < state.config.rows[kSum]; ++m) {
      for (int n = 0; n < state.config.bytes_per_row[kSum] / 4; ++n) {
        float even = 0.0F;
        float odd = 0.0F;
        for (int k = 0; k < state.config.bytes_per_row[kLeft] / 4; ++k) {
          even = flushed(std::fma(bf16(kLeft, m, 2 * k), bf16(kRight, k, 2 * n), even));
          odd = flushed(std::fma(bf16(kLeft, m, 2 * k + 1), bf16(kRight, k, 2 * n + 1), odd));
        }
        put(kSum, m, n, flushed(flushed(element<float>(kSum, m, n)) + flushed(even + odd)));
      }
    }
  }
  /// TDPBUSD: unsigned left, signed right.
  template <int kSum, int kLeft, int kRight>
  static void dot_u8_i8() {
    dot_bytes<std::uint8_t>(kSum, kLeft, kRight);
  }
  /// TDPBSSD: both signed.
  template <int kSum, int kLeft, int kRight>
  static void dot_i8_i8() {
    dot_bytes<std::int8_t>(kSum, kLeft, kRight);
  }

 private:
  /// int32 sums that wrap.
  template <typename Left>
  static void dot_bytes(int sum_tile, int left, int right) {
    check_product(sum_tile, left, right);
    for (int m = 0; m < state.config.rows[sum_tile]; ++m) {
      for (int n = 0; n < state.config.bytes_per_row[sum_tile] / 4; ++n) {
        auto sum = element<std::uint32_t>(sum_tile, m, n);
        for (int k = 0; k < state.config.bytes_per_row[left] / 4; ++k) {
          for (int i = 0; i < 4; ++i) {
            const int product = int{element<Left>(left, m, 4 * k + i)} * int{element<std::int8_t>(right, k, 4 * n + i)};
            sum += static_cast<std::uint32_t>(product);
          }
        }
        put(sum_tile, m, n, sum);
      }
    }
  }
  static void check(int tile) {
    SS_CHECK(state.configured, "tiles are configured before they are used");
    SS_CHECK(state.config.rows[tile] > 0, "a tile that is used has rows");
  }
  static void check_product(int sum, int left, int right) {
    check(sum);
    check(left);
    check(right);
    // The instruction raises #UD otherwise.
    SS_CHECK(state.config.rows[sum] == state.config.rows[left], "rows of the sum are those of the left operand");
    SS_CHECK(state.config.bytes_per_row[sum] == state.config.bytes_per_row[right], "columns are the right operand's");
    SS_CHECK(state.config.bytes_per_row[left] == 4 * state.config.rows[right], "inner extents agree");
  }
  static float bf16(int tile, int row, int index) {
    return flushed(to_float(Bf16{element<std::uint16_t>(tile, row, index)}));
  }
  static float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? 0.0F : x; }
  template <typename T>
  static void put(int tile, int row, int index, T value) {
    std::memcpy(state.tile[tile][row] + index * int{sizeof(T)}, &value, sizeof(T));
  }
};

// The policies for a single row: the sums and results of the AVX-512 policies, with portable lanes.
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

constexpr BlockKernel kBf16Blocks = {configure_blocks<ModelTiles>, multiply_blocks<ModelTiles, AmxBf16>, nullptr,
                                     release_blocks<ModelTiles>};
constexpr BlockKernel kU8Blocks = {configure_blocks<ModelTiles>, multiply_blocks<ModelTiles, AmxU8>,
                                   convert_sums<OneRowU8>, release_blocks<ModelTiles>};

template <int kRowPieces>
constexpr BlockKernel kPieceBlocks = {configure_blocks<ModelTiles>,
                                      multiply_blocks<ModelTiles, AmxBf16Pieces<kRowPieces>>, nullptr,
                                      release_blocks<ModelTiles>};
template <int kRowPieces>
constexpr ProductKernel kPieceProduct = {
    kRowPieces == 2 ? ActType::kBf16Pieces : ActType::kI8InBf16, kGroupColumns,   1,  kAmxRows,
    multiply_one_block<ModelTiles, AmxBf16Pieces<kRowPieces>>,   "matmul_pieces", "", &kPieceBlocks<kRowPieces>};

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

/// The same of mxfp4.
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
                                        multiply_pieces<ModelTiles, Mxfp4Groups, mxfp4_group_to_bf16, load_e8m0>,
                                        "matmul_mxfp4_pieces"};
constexpr ProductKernel kInt4Pieces = {ActType::kBf16Pieces,
                                       kGroupColumns,
                                       kGroupColumns,
                                       kPieceRows,
                                       multiply_pieces<ModelTiles, Int4Groups, int4_group_to_bf16, load_f16>,
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
          .multiply = multiply_digit_groups<ModelTiles, OneRowU8, Groups, kDigits>,
          .name = "matmul_groups"};
}

KernelTable model_table() {
  KernelTable table;
  table.isa = "amx-model";
  table.products[int(Product::kBf16)] = {
      ActType::kBf16, 32, 2, kAmxRows, multiply_amx<ModelTiles, AmxBf16, OneRowBf16>, "matmul_bf16_bf16_f32acc", "",
      &kBf16Blocks};
  table.products[int(Product::kInt8Quantized)] = {
      ActType::kU8, 64,        4, kAmxRows, multiply_amx<ModelTiles, AmxU8, OneRowU8>, "matmul_int8_int8_i32acc",
      "",           &kU8Blocks};
  table.attend_many_bf16 = {.act = ActType::kBf16,
                            .vec = kOperandDepth,
                            .max_rows = kTileLines,
                            .attend = attend_amx<ModelTiles, Bf16Cache>,
                            .row_multiple = kTileLines,
                            .operand_bytes = attention_operand_bytes};
  table.attend_many_int8 = table.attend_many_bf16;
  table.attend_many_int8.attend = attend_amx<ModelTiles, Int8Cache<int8_to_bf16>>;
  table.products[int(Product::kInt8)] = {
      ActType::kDigits, 64, 4, kDigitRows, multiply_int8_digits<ModelTiles>, "matmul_int8_digits_f32acc"};
  table.products[int(Product::kInt8Group)] = group_product<Int8Groups, kActivationDigits>(ActType::kDigits);
  table.products[int(Product::kInt4)] = group_product<Int4Groups, kActivationDigits>(ActType::kDigitsNibbles);
  table.products[int(Product::kInt4)].many = &kInt4Pieces;
  table.products[int(Product::kMxfp4)] = group_product<Mxfp4Groups, kActivationDigits>(ActType::kDigitsNibbles);
  table.products[int(Product::kMxfp4)].many = &kMxfp4Pieces;
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
