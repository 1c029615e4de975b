#pragma once
// The steps of packing tiles: words of 16 rows are transposed, and codes are moved to the places that kernel_table.h defines.

#include <array>
#include <cstddef>
#include <cstdint>

#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

inline constexpr std::size_t kLineWords = 16;  ///< words in a cache line
inline constexpr std::size_t kLineBytes = kLineWords * sizeof(std::uint32_t);
inline constexpr auto kRows = static_cast<std::size_t>(kTileRows);

/// Transposed words: [word][16 rows].
using WordBlock = std::array<std::uint32_t, kLineWords * kRows>;

/// The place of the nibble of `column` in a group of int4: its byte within the group, and its shift within the byte.
struct NibblePlace {
  std::int64_t byte = 0;
  int shift = 0;
};
[[nodiscard]] NibblePlace nibble_place(std::int64_t column, int lane);

/// out[word][row] = rows[row][word], 16 x 16. Rows are `stride` bytes apart.
void transpose_block(const std::byte* rows, std::size_t stride, std::uint32_t* out);

/// Stores the low four bits of a group of 32 columns in the order of nibble_place(). words: its transposed words, eight per row.
void store_nibbles(const std::uint32_t* words, std::byte* to);

/// Bits of a code: `n` of them, from bit `first` on.
struct CodeBits {
  unsigned first = 0;
  unsigned n = 0;
};
/// Adds these bits of eight codes to each row's lane. They go into the byte that has a code's nibble after store_nibbles(): from bit `to`
/// on for a low nibble, and from bit `to + bits.n` on for a high one. words: columns 0 to 3 of 16 rows, then columns 4 to 7.
void add_bits(const std::uint32_t* words, CodeBits bits, unsigned to, std::uint32_t* lanes);

/// Stores one value of each of 16 rows as int8 or as FP16. The values are `stride` floats apart.
void store_bytes(const float* values, std::size_t stride, std::byte* to);
void store_halves(const float* values, std::size_t stride, std::byte* to);

}  // namespace secondsource::cpu
