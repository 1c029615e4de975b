#pragma once
// Weights as the sum of two BF16 pieces of eight bits each, for products whose weights one BF16 number does not hold: those of f16, which
// have 11 bits, and scale * q of int4-w8a8, which has 15, since scales are FP16 numbers. The sum is exact. A tile becomes
// [k / 32][2][16][16][2]: for 32 columns the operand of their first pieces, then that of their second ones (matmul_amx_blocks-inl.h).
// Columns are padded with zeros to a multiple of 32. Three pieces would hold scale * q of int8-g32-w8a8, but with them, rounded, a Xeon
// with AMX has 0.85 of the rate of the kernel that scales the sums of groups (November 2026).

#include "cpu/kernels/matmul_bf16_dot-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Columns of an operand, and bytes of one and of a pair of its columns.
inline constexpr std::int64_t kPieceColumns = 32;
inline constexpr std::int64_t kPairBytes = std::int64_t{kTileRows} * 4;
inline constexpr std::int64_t kPieceBytes = kPieceColumns / 2 * kPairBytes;

/// A tile in pieces that is written by column pairs, as RoundedTile is.
class PieceTile {
 public:
  explicit PieceTile(std::byte* tile) : tile_(tile) {}
  /// Columns k and k + 1 of at most 16 bits; k is even.
  void put(std::int64_t k, const F32& even, const F32& odd) const {
    std::byte* const to = tile_ + k / kPieceColumns * 2 * kPieceBytes + k % kPieceColumns / 2 * kPairBytes;
    _mm512_store_si512(to, upper_halves(even, odd));
    _mm512_store_si512(to + kPieceBytes, upper_halves(sub(even, upper_half(even)), sub(odd, upper_half(odd))));
  }

 private:
  /// The BF16 number that cutting off the lower half of an f32 leaves, in place and as pairs of a row. That takes half of the instructions
  /// of rounding, and what is left of 16 bits is a BF16 number either way.
  static F32 upper_half(const F32& x) { return bf16_odd({_mm512_castps_si512(x.v)}); }
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
