#pragma once
// Unpacks weights that one BF16 number cannot hold to two, which are called pieces and whose sum is the weight. A piece has eight
// significant bits. Weights of f16 have 11, and products scale * q of int4-w8a8 have 15, because scales are FP16 numbers, so that both are
// exact.
//
// An unpacked tile has the shape [k / 32][2][16][16][2]: steps of 32 columns, pieces, pairs of columns, rows, and the two columns of a
// pair. In a step, the operand with the first pieces comes before the operand with the second pieces (matmul_amx_blocks-inl.h). Columns
// are padded with zeros to a multiple of 32.
//
// Weights of int8-g32-w8a8 would need three pieces. With these, a Xeon with AMX had 0.85 of the rate of the kernel that scales the sums of
// each group (November 2026).

#include "cpu/kernels/matmul_bf16_dot-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The columns of an operand, the bytes of a pair of columns in it, and the bytes of the whole operand.
inline constexpr std::int64_t kPieceColumns = 32;
inline constexpr std::int64_t kPairBytes = std::int64_t{kTileRows} * 4;
inline constexpr std::int64_t kPieceBytes = kPieceColumns / 2 * kPairBytes;

/// A tile in pieces. As with RoundedTile, two adjacent columns are written at once.
class PieceTile {
 public:
  explicit PieceTile(std::byte* tile) : tile_(tile) {}
  /// Writes columns k and k + 1, whose values have at most 16 significant bits; k is even.
  void put(std::int64_t k, const F32& even, const F32& odd) const {
    std::byte* const to = tile_ + k / kPieceColumns * 2 * kPieceBytes + k % kPieceColumns / 2 * kPairBytes;
    _mm512_store_si512(to, upper_halves(even, odd));
    _mm512_store_si512(to + kPieceBytes, upper_halves(sub(even, upper_half(even)), sub(odd, upper_half(odd))));
  }

 private:
  // The first piece is the upper half of the f32, cut off instead of rounded, which takes half as many instructions. The remainder of a
  // value of 16 bits fits in a BF16 number either way.

  /// The first piece as an f32.
  static F32 upper_half(const F32& x) { return bf16_odd({_mm512_castps_si512(x.v)}); }
  /// The upper halves of two columns as BF16 pairs, one for each row.
  static __m512i upper_halves(const F32& even, const F32& odd) {
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
    const __m512i lower = _mm512_srli_epi32(_mm512_castps_si512(even.v), 16);
    return _mm512_ternarylogic_epi32(lower, _mm512_castps_si512(odd.v), mask, 0xf8);  // lower | (odd & mask)
  }

  std::byte* tile_;
};

inline void f16_tile_to_pieces(const std::byte* tile, std::int64_t k, std::byte* out) {
  constexpr std::int64_t kColumnBytes = std::int64_t{kTileRows} * 2;
  const PieceTile pieces(out);
  std::int64_t column = 0;
  for (; column + 2 <= k; column += 2, tile += 2 * kColumnBytes) {
    pieces.put(column, load_f16(tile), load_f16(tile + kColumnBytes));
  }
  if (column < k) {
    pieces.put(column, load_f16(tile), zero());
    column += 2;
  }
  for (; column % kPieceColumns != 0; column += 2) pieces.put(column, zero(), zero());
}
inline void int4_tile_to_pieces(const std::byte* tile, std::int64_t k, std::byte* out) {
  unpack_nibble_groups<Int4Pairs>(tile, k, PieceTile(out));
}

}  // namespace secondsource::cpu::SS_CPU_ISA
