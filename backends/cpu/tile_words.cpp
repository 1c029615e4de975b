#include "cpu/tile_words.h"

#include <cstring>

#include "core/half.h"
#include "core/vector_clones.h"

namespace secondsource::cpu {
namespace {

/// Four words in the compiler's own vector type, so that a transpose is a few shuffles on every machine.
using Words4 = std::uint32_t __attribute__((vector_size(16)));

Words4 load_words(const std::byte* bytes) {
  Words4 words;
  std::memcpy(&words, bytes, sizeof words);
  return words;
}

void store_words(Words4 words, std::uint32_t* to) {
  std::memcpy(to, &words, sizeof words);
}

/// Packs eight columns of 16 rows as nibbles in the order of nibble_place(). low, high: the int8 values of columns 0 to 3
/// and 4 to 7, one word per row.
[[gnu::always_inline]] inline void pack_nibbles(const std::uint32_t* low, const std::uint32_t* high,
                                                std::uint32_t* out) {
  // The low 16 bits become the nibbles of values 0, 2, 1, 3.
  const auto halve = [](std::uint32_t word) { return (word & 0x0f0f0f0fU) | ((word & 0x0f0f0f0fU) >> 12U); };
  for (std::size_t row = 0; row < kRows; ++row) {
    const std::uint32_t a = halve(low[row]);
    const std::uint32_t b = halve(high[row]);
    out[row] = (a & 0xffU) | (b & 0xffU) << 8U | (a & 0xff00U) << 8U | (b & 0xff00U) << 16U;
  }
}

}  // namespace

NibblePlace nibble_place(std::int64_t column, int lane) {
  const std::int64_t within = column % 8;
  // Bit 16 (k & 1) + 4 (k >> 1) of the row's 32-bit lane.
  const auto bit = static_cast<int>(16 * (within & 1) + 4 * (within >> 1));
  return {column / 8 * 64 + lane * 4 + bit / 8, bit % 8};
}

// Four rows at a time: rows that are a power of two bytes apart fall into the same set of the first-level cache, which cannot hold a line
// of all sixteen.
void transpose_block(const std::byte* rows, std::size_t stride, std::uint32_t* out) {
  for (std::size_t row = 0; row < kRows; row += 4) {
    const std::byte* const from = rows + row * stride;
    for (std::size_t word = 0; word < kLineWords; word += 4) {
      const Words4 a = load_words(from + word * 4);
      const Words4 b = load_words(from + stride + word * 4);
      const Words4 c = load_words(from + 2 * stride + word * 4);
      const Words4 d = load_words(from + 3 * stride + word * 4);
      const Words4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
      const Words4 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Words4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
      const Words4 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      std::uint32_t* const to = out + word * kRows + row;
      store_words(__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), to);
      store_words(__builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7), to + kRows);
      store_words(__builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), to + 2 * kRows);
      store_words(__builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7), to + 3 * kRows);
    }
  }
}

SS_VECTOR_CLONES void store_nibbles(const std::uint32_t* words, std::byte* to) {
  auto* const out = reinterpret_cast<std::uint32_t*>(to);
  for (std::size_t word = 0; word < kGroupColumns / 8; ++word) {
    const std::uint32_t* const low = words + 2 * word * kRows;
    pack_nibbles(low, low + kRows, out + word * kRows);
  }
}

SS_VECTOR_CLONES void add_bits(const std::uint32_t* words, CodeBits bits, unsigned to, std::uint32_t* lanes) {
  std::array<std::uint32_t, 2 * kRows> taken;
  for (std::size_t i = 0; i < taken.size(); ++i) {
    taken[i] = words[i] >> bits.first & ((1U << bits.n) - 1U) * 0x01010101U;
  }
  std::array<std::uint32_t, kRows> packed;
  pack_nibbles(taken.data(), taken.data() + kRows, packed.data());
  for (std::size_t row = 0; row < kRows; ++row) {
    const std::uint32_t of_low_nibbles = packed[row] & 0x0f0f0f0fU;
    const std::uint32_t of_high_nibbles = packed[row] >> 4U & 0x0f0f0f0fU;
    lanes[row] |= of_low_nibbles << to | of_high_nibbles << (to + bits.n);
  }
}

void store_bytes(const float* values, std::size_t stride, std::byte* to) {
  for (std::size_t row = 0; row < kRows; ++row) {
    to[row] = static_cast<std::byte>(static_cast<std::int8_t>(values[row * stride]));
  }
}
void store_halves(const float* values, std::size_t stride, std::byte* to) {
  std::array<F16, kRows> halves;
  for (std::size_t row = 0; row < kRows; ++row) halves[row] = to_f16(values[row * stride]);
  std::memcpy(to, halves.data(), sizeof halves);
}

}  // namespace secondsource::cpu
