#pragma once
// Matmul of BF16 or int8 weights and activations with Intel's Advanced Matrix Extensions:
//
//   c[m, n] = sum_k a[m, k] * w[n, k]
//
// Packed weights already have the order of AMX's right-hand operand: 16 lines of 64 bytes are 32 columns of BF16
// ([k / 2][16][2]) or 64 columns of int8 ([k / 4][16][4]) of 16 weight rows. Activations have a vec of 64 bytes, so that up
// to 16 rows are one left-hand operand: [k / 32][n_rows][32] BF16 or [k / 64][n_rows][64] q + 128. Accumulated in f32 (the
// even and the odd columns of a step apart) or in int32. c: [n_rows, 16 * n_tiles] f32. Nothing overlaps.
//
// The template parameter `Tiles` stands for the instructions (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2,
// TDPBF16PS and TDPBUSD): amx_tiles-inl.h has the real ones, and amx_tile_model-inl.h a software model for tests, so that this source also
// runs on CPUs without AMX.

#include "cpu/kernels/amx_config-inl.h"
#include "cpu/kernels/matmul-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Rows of activations multiplied at once: those of two tile registers.
inline constexpr int kAmxRows = 2 * kTileLines;

// The eight tile registers: sums of (rows 0-15, rows 16-31) x (first, second weight tile), then two for activations and two
// for weights.
enum : int { kSum00, kSum01, kSum10, kSum11, kRows0, kRows1, kWeights0, kWeights1 };

/// Registers with as many lines as n_rows (up to 32) activations need.
inline TileConfig config_for(int n_rows) {
  TileConfig config;
  const int first = n_rows < kTileLines ? n_rows : kTileLines;
  const int second = n_rows - first;
  const auto set = [&config](int tile, int rows) {
    config.rows[tile] = static_cast<std::uint8_t>(rows);
    config.bytes_per_row[tile] = static_cast<std::uint16_t>(rows == 0 ? 0 : kLineBytes);
  };
  set(kSum00, first);
  set(kSum01, first);
  set(kRows0, first);
  set(kSum10, second);
  set(kSum11, second);
  set(kRows1, second);
  set(kWeights0, kTileLines);
  set(kWeights1, kTileLines);
  return config;
}

struct AmxBf16 {
  /// An activation and a weight are sums of so many BF16 numbers, of which the largest comes first.
  static constexpr int kRowPieces = 1;
  static constexpr int kWeightPieces = 1;
  template <typename Tiles, int kSum, int kLeft, int kRight>
  static void dot() {
    Tiles::template dot_bf16<kSum, kLeft, kRight>();
  }
};
struct AmxU8 {
  static constexpr int kRowPieces = 1;
  static constexpr int kWeightPieces = 1;
  template <typename Tiles, int kSum, int kLeft, int kRight>
  static void dot() {
    Tiles::template dot_u8_i8<kSum, kLeft, kRight>();
  }
};

/// Up to 32 rows times one or two weight tiles, into sums [weight tile][row][16]. If the columns are not a multiple of a
/// step, the last step reads a copy that is padded with zeros.
template <typename Tiles, typename Product, bool kTwoRowTiles, bool kTwoWeightTiles>
inline void multiply_amx_tiles(const TileArgs& args, std::int64_t first_tile, std::byte* sums) {
  constexpr std::int64_t kStepBytes = std::int64_t{kTileLines} * kLineBytes;
  const auto* x = static_cast<const std::byte*>(args.a);
  const std::byte* const w0 = args.tiles + first_tile * args.tile_bytes;
  const std::byte* const w1 = w0 + args.tile_bytes;
  alignas(64) std::byte padded[2 * kStepBytes];
  Tiles::template zero<kSum00>();
  if constexpr (kTwoWeightTiles) Tiles::template zero<kSum01>();
  if constexpr (kTwoRowTiles) Tiles::template zero<kSum10>();
  if constexpr (kTwoRowTiles && kTwoWeightTiles) Tiles::template zero<kSum11>();
  for (std::int64_t at = 0; at < args.tile_bytes; at += kStepBytes, x += std::int64_t{args.n_rows} * kLineBytes) {
    const std::byte* from0 = w0 + at;
    const std::byte* from1 = w1 + at;
    if (const std::int64_t left = args.tile_bytes - at; left < kStepBytes) {
      __builtin_memset(padded, 0, sizeof(padded));
      __builtin_memcpy(padded, from0, static_cast<std::size_t>(left));
      if constexpr (kTwoWeightTiles) __builtin_memcpy(padded + kStepBytes, from1, static_cast<std::size_t>(left));
      from0 = padded;
      from1 = padded + kStepBytes;
    }
    Tiles::template load<kRows0>(x);
    if constexpr (kTwoRowTiles) Tiles::template load<kRows1>(x + kStepBytes);
    Tiles::template load<kWeights0>(from0);
    Product::template dot<Tiles, kSum00, kRows0, kWeights0>();
    if constexpr (kTwoRowTiles) Product::template dot<Tiles, kSum10, kRows1, kWeights0>();
    if constexpr (kTwoWeightTiles) {
      Tiles::template load<kWeights1>(from1);
      Product::template dot<Tiles, kSum01, kRows0, kWeights1>();
      if constexpr (kTwoRowTiles) Product::template dot<Tiles, kSum11, kRows1, kWeights1>();
    }
  }
  constexpr std::int64_t kSumBytes = std::int64_t{kAmxRows} * kLineBytes;
  Tiles::template store<kSum00>(sums);
  if constexpr (kTwoRowTiles) Tiles::template store<kSum10>(sums + kStepBytes);
  if constexpr (kTwoWeightTiles) Tiles::template store<kSum01>(sums + kSumBytes);
  if constexpr (kTwoRowTiles && kTwoWeightTiles) Tiles::template store<kSum11>(sums + kSumBytes + kStepBytes);
}

/// `OneRow`: the policy for a single row, which is bound by memory and gains nothing from tiles.
template <typename Tiles, typename Product, typename OneRow>
void multiply_amx(const TileArgs& args) {
  if (args.n_rows == 1) return multiply_few_rows<OneRow>(args);
  const TileConfig config = config_for(args.n_rows);
  Tiles::configure(config);
  alignas(64) std::byte sums[2 * kAmxRows * kLineBytes];
  const bool two_row_tiles = args.n_rows > kTileLines;
  for (std::int64_t tile = 0; tile < args.n_tiles; tile += 2) {
    const bool two = tile + 1 < args.n_tiles;
    if (two_row_tiles && two) multiply_amx_tiles<Tiles, Product, true, true>(args, tile, sums);
    if (two_row_tiles && !two) multiply_amx_tiles<Tiles, Product, true, false>(args, tile, sums);
    if (!two_row_tiles && two) multiply_amx_tiles<Tiles, Product, false, true>(args, tile, sums);
    if (!two_row_tiles && !two) multiply_amx_tiles<Tiles, Product, false, false>(args, tile, sums);
    for (int t = 0; t < (two ? 2 : 1); ++t) {
      const std::int64_t column = (tile + t) * kTileRows;
      const std::int32_t* row_sums = args.row_sums == nullptr ? nullptr : args.row_sums + column;
      for (int m = 0; m < args.n_rows; ++m) {
        const std::byte* const from = sums + (t * kAmxRows + m) * kLineBytes;
        typename OneRow::Acc sum;
        __builtin_memcpy(&sum, from, kLineBytes);
        store(args.c + m * args.c_stride + column, OneRow::result(sum, row_sums));
      }
    }
  }
  Tiles::release();
}

}  // namespace secondsource::cpu::SS_CPU_ISA
