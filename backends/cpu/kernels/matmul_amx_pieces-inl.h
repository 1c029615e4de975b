#pragma once
// Matmul of int4 and mxfp4 weights with AMX's BF16 instruction, for at most 16 rows:
//
//   c[m, n] = sum_g scale[n, g] * sum_{k in group g} a[m, k] * q[n, k],   groups of 32 columns
//
// q is exact in BF16. An activation is two BF16 pieces, x = p0 + p1 + e with |e| <= 2^-16 |x|, whose products are added in the tile. So a
// row leaves one f32 vector for each group, where three digits leave three of int32. That takes fewer instructions for vectors, which are
// slow beside tiles, but more to unpack a group. isa_amx.cpp has the measured number of rows from which this kernel is chosen.
//
// a: [k / 32][n_rows][2][32] BF16. Tiles and c: as in matmul_amx_digits-inl.h. Accumulated in f32.

#include "cpu/kernels/matmul_amx_digits-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

inline constexpr int kActivationPieces = 2;
/// Rows of activations multiplied at once: those of a tile register.
inline constexpr int kPieceRows = kTileLines;

/// The groups of mxfp4.
struct Mxfp4Groups {
  static constexpr int kBytes = kMxfp4GroupBytes;
  static constexpr int kVectors = Int4Groups::kVectors;
};

/// How the sums of a group are made of BF16 pieces. kUnpack: writes the values of a group as BF16 [k / 2][16][2], not scaled. kScale: loads
/// its scales.
template <void (*kUnpack)(const std::byte* group, std::byte* to), F32 (*kScale)(const void* p)>
struct PieceProducts {
  static constexpr int kLines = 1;
  static constexpr int kLineColumnBytes = kActivationPieces * kLineBytes;
  static constexpr int kRowBytes = kLineColumnBytes;
  static constexpr bool kCopies = true;
  static constexpr std::int64_t kOperandBytes = std::int64_t{kTileRows} * kLineBytes;
  static void make_operand(const std::byte* group, std::byte* to) { kUnpack(group, to); }
  template <typename Tiles, int kSum>
  static void multiply(const std::byte* x, const std::byte* operand) {
    constexpr int kRightTile = kFirstWeights + kSum % 2;
    Tiles::template zero<kSum>();
    Tiles::template load<kRightTile>(operand);
    Tiles::template load<kFirstLines>(x, kLineColumnBytes);
    Tiles::template dot_bf16<kSum, kFirstLines, kRightTile>();
    Tiles::template load<kFirstLines + 1>(x + kLineBytes, kLineColumnBytes);
    Tiles::template dot_bf16<kSum, kFirstLines + 1, kRightTile>();
  }
  static F32 load_sum(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
  static F32 load_scale(const std::byte* p) { return kScale(p); }
};

/// Groups: Int4Groups or Mxfp4Groups.
template <typename Tiles, typename Groups, void (*kUnpack)(const std::byte* group, std::byte* to),
          F32 (*kScale)(const void* p)>
void multiply_pieces(const TileArgs& args) {
  const TileConfig config = digit_config(args.n_rows, kLineBytes);
  Tiles::configure(config);
  GroupedTiles<Tiles, Groups, PieceProducts<kUnpack, kScale>>(args).multiply();
  Tiles::release();
}

/// 16 BF16 values as f32.
inline F32 load_bf16(const std::uint16_t* p) {
  std::uint32_t bits[16];
  for (int i = 0; i < 16; ++i) bits[i] = static_cast<std::uint32_t>(p[i]) << 16;
  return load(reinterpret_cast<const float*>(bits));
}

/// Packs rows into [k_padded / 32][n_rows][2][32] BF16.
inline void pack_pieces(const PackArgs& args) {
  constexpr std::int64_t kStep = std::int64_t{kActivationPieces} * kGroupColumns;
  for (int m = 0; m < args.n_rows; ++m) {
    const float* const x = args.x + m * args.x_stride;
    auto* out = static_cast<std::uint16_t*>(args.out) + m * kStep;
    for (std::int64_t k = 0; k < args.k_padded; k += kGroupColumns, out += args.n_rows * kStep) {
      for (std::int64_t i = 0; i < kGroupColumns; i += 16) {
        const std::int64_t left = args.k - k - i;
        const F32 values = left > 0 ? load_some(x + k + i, left) : zero();
        store_bf16(out + i, values);
        store_bf16(out + kGroupColumns + i, sub(values, load_bf16(out + i)));
      }
    }
  }
}

}  // namespace secondsource::cpu::SS_CPU_ISA
