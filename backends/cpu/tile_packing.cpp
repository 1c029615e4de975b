#include "cpu/tile_packing.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/checked.h"
#include "core/e2m1.h"
#include "core/half.h"
#include "core/vector_clones.h"

namespace secondsource::cpu {
namespace {

constexpr std::size_t kBlockWords = 16;  // one cache line of each row
constexpr std::size_t kBlockBytes = kBlockWords * sizeof(std::uint32_t);
constexpr auto kRows = static_cast<std::size_t>(kTileRows);

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

/// out[word][row] = rows[row][word], 16 x 16. Four rows at a time, because rows that are a power of two apart share a set
/// of the first-level cache, which cannot hold a line of all sixteen.
void transpose_block(const std::byte* rows, std::size_t stride, std::uint32_t* out) {
  for (std::size_t row = 0; row < kRows; row += 4) {
    const std::byte* const from = rows + row * stride;
    for (std::size_t word = 0; word < kBlockWords; word += 4) {
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

using Block = std::array<std::uint32_t, kBlockWords * kRows>;

/// Packs words as [n_words][16 rows].
void pack_words(const std::byte* rows, std::size_t stride, std::size_t n_words, std::byte* tile) {
  auto* const out = reinterpret_cast<std::uint32_t*>(tile);
  std::size_t word = 0;
  for (; word + kBlockWords <= n_words; word += kBlockWords) {
    transpose_block(rows + word * 4, stride, out + word * kRows);
  }
  if (word == n_words) return;
  Block block;
  transpose_block(rows + word * 4, stride, block.data());
  std::memcpy(out + word * kRows, block.data(), (n_words - word) * kRows * sizeof(std::uint32_t));
}

/// Packs 16-bit values as [n_cols][16 rows], from words of two columns each.
void pack_halves(const std::byte* rows, std::size_t stride, std::size_t n_cols, std::byte* tile) {
  auto* const out = reinterpret_cast<std::uint16_t*>(tile);
  Block block;
  for (std::size_t column = 0; column < n_cols; column += 2 * kBlockWords) {
    transpose_block(rows + column * 2, stride, block.data());
    const std::size_t n = std::min(2 * kBlockWords, n_cols - column);
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t* const pairs = block.data() + i / 2 * kRows;
      const unsigned shift = i % 2 * 16;
      std::uint16_t* const to = out + (column + i) * kRows;
      for (std::size_t row = 0; row < kRows; ++row) to[row] = static_cast<std::uint16_t>(pairs[row] >> shift);
    }
  }
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

/// Stores the low four bits of a group of 32 columns from its transposed words, eight per row.
SS_VECTOR_CLONES void store_nibbles(const std::uint32_t* words, std::byte* to) {
  auto* const out = reinterpret_cast<std::uint32_t*>(to);
  for (std::size_t word = 0; word < kGroupColumns / 8; ++word) {
    const std::uint32_t* const low = words + 2 * word * kRows;
    pack_nibbles(low, low + kRows, out + word * kRows);
  }
}

/// Adds to each row's lane the `n_bits` above the low four of eight codes. They go into the byte that pack_nibbles() gives a code's nibble:
/// from bit `first_bit` on for a low nibble, and from bit `first_bit + n_bits` on for a high one. words: columns 0 to 3 of 16 rows, then
/// columns 4 to 7.
[[gnu::always_inline]] inline void add_high_bits(const std::uint32_t* words, unsigned n_bits, unsigned first_bit,
                                                 std::uint32_t* lanes) {
  std::array<std::uint32_t, 2 * kRows> high;
  for (std::size_t i = 0; i < high.size(); ++i) high[i] = words[i] >> 4U & ((1U << n_bits) - 1U) * 0x01010101U;
  std::array<std::uint32_t, kRows> packed;
  pack_nibbles(high.data(), high.data() + kRows, packed.data());
  for (std::size_t row = 0; row < kRows; ++row) {
    const std::uint32_t of_low_nibbles = packed[row] & 0x0f0f0f0fU;
    const std::uint32_t of_high_nibbles = packed[row] >> 4U & 0x0f0f0f0fU;
    lanes[row] |= of_low_nibbles << first_bit | of_high_nibbles << (first_bit + n_bits);
  }
}

/// Stores the bits above those of codes of six bits, plus 32, of a group of q6_k.
SS_VECTOR_CLONES void store_high_bits(const std::uint32_t* words, std::byte* to) {
  for (std::size_t half = 0; half < 2; ++half) {
    std::array<std::uint32_t, kRows> lanes{};
    add_high_bits(words + 4 * half * kRows, 2, 0, lanes.data());
    add_high_bits(words + (4 * half + 2) * kRows, 2, 4, lanes.data());
    for (std::uint32_t& lane : lanes) lane ^= 0xaaaaaaaaU;  // plus 32
    std::memcpy(to + half * sizeof lanes, lanes.data(), sizeof lanes);
  }
}

/// Stores the fifth bits of a group of q5_k.
SS_VECTOR_CLONES void store_fifth_bits(const std::uint32_t* words, std::byte* to) {
  std::array<std::uint32_t, kRows> lanes{};
  for (unsigned vector = 0; vector < 4; ++vector) {
    add_high_bits(words + std::size_t{2} * vector * kRows, 1, 2 * vector, lanes.data());
  }
  std::memcpy(to, lanes.data(), sizeof lanes);
}

/// Stores the whole numbers or the FP16 numbers of 16 rows, which are `stride` apart.
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

/// Stores a group of 32 columns from its transposed words, eight per row, and its scales, which are `stride` apart, in FP16 or, of
/// mxfp4, in E8M0.
SS_VECTOR_CLONES void store_group(const std::uint32_t* words, const float* scales, std::size_t stride,
                                  WeightEncoding encoding, std::byte* to) {
  auto* const out = reinterpret_cast<std::uint32_t*>(to);
  std::size_t n_words = kGroupColumns / 4;
  if (has_four_bit_codes(encoding)) {
    n_words = kGroupColumns / 8;
    store_nibbles(words, to);
  } else {
    std::memcpy(out, words, n_words * kRows * sizeof(std::uint32_t));
  }
  std::array<float, kRows> of_rows;
  for (std::size_t row = 0; row < kRows; ++row) of_rows[row] = scales[row * stride];
  if (encoding == WeightEncoding::kMxfp4Group32) {
    std::array<E8m0, kRows> exponents;
    for (std::size_t row = 0; row < kRows; ++row) exponents[row] = to_e8m0(of_rows[row]);
    std::memcpy(out + n_words * kRows, exponents.data(), sizeof exponents);
    return;
  }
  std::array<F16, kRows> halves;
  for (std::size_t row = 0; row < kRows; ++row) halves[row] = to_f16(of_rows[row]);
  std::memcpy(out + n_words * kRows, halves.data(), sizeof halves);
}

}  // namespace

TileLayout tile_layout(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kF32:
      return {1, 64};
    case WeightEncoding::kBf16:
      return {2, 64};
    case WeightEncoding::kF16:
      return {1, 32};
    case WeightEncoding::kInt8PerRow:
    case WeightEncoding::kFp8PerRow:
      return {4, 64};
    case WeightEncoding::kInt8Group32:
      return {kGroupColumns, kInt8GroupBytes};
    case WeightEncoding::kInt4Group32:
      return {kGroupColumns, kInt4GroupBytes};
    case WeightEncoding::kInt4Group32Zero:
      return {kGroupColumns, kInt4ZeroGroupBytes};
    case WeightEncoding::kFp8Group128:
      return {kFp8GroupColumns, kFp8GroupBytes};
    case WeightEncoding::kMxfp4Group32:
      return {kGroupColumns, kMxfp4GroupBytes};
    case WeightEncoding::kQ4K:
      return {kBlockColumns, kQ4KBlockBytes};
    case WeightEncoding::kQ5K:
      return {kBlockColumns, kQ5KBlockBytes};
    case WeightEncoding::kQ6K:
      return {kBlockColumns, kQ6KBlockBytes};
  }
  return {1, 64};
}

NibblePlace nibble_place(std::int64_t column, int lane) {
  const std::int64_t within = column % 8;
  // Bit 16 (k & 1) + 4 (k >> 1) of the row's 32-bit lane.
  const auto bit = static_cast<int>(16 * (within & 1) + 4 * (within >> 1));
  return {column / 8 * 64 + lane * 4 + bit / 8, bit % 8};
}

TilePacker::TilePacker(WeightEncoding encoding, std::int64_t n_cols)
    : encoding_(encoding),
      n_cols_(n_cols),
      row_bytes_(static_cast<std::size_t>(n_cols) * transfer_bytes_per_value(encoding)),
      padded_row_bytes_(round_up(row_bytes_, kBlockBytes)),
      row_scales_(static_cast<std::size_t>(scales_per_row(encoding, n_cols))),
      n_words_(static_cast<std::int64_t>(ceil_divide(row_bytes_, sizeof(std::uint32_t)))),
      values_(kRows * row_bytes_),
      padded_(row_bytes_ == padded_row_bytes_ ? 0 : kRows * padded_row_bytes_),
      scales_(kRows * row_scales_) {}

std::span<std::byte> TilePacker::values(std::int64_t n_rows) {
  return std::span(values_).first(static_cast<std::size_t>(n_rows) * row_bytes_);
}

std::span<float> TilePacker::scales(std::int64_t n_rows) {
  return std::span(scales_).first(static_cast<std::size_t>(n_rows) * row_scales_);
}

void TilePacker::pack(std::int64_t n_rows, std::byte* tile) {
  const auto present = static_cast<std::size_t>(n_rows);
  std::fill(values_.begin() + static_cast<std::ptrdiff_t>(present * row_bytes_), values_.end(), std::byte{0});
  std::fill(scales_.begin() + static_cast<std::ptrdiff_t>(present * row_scales_), scales_.end(), 0.0F);
  const std::byte* rows = values_.data();
  if (!padded_.empty()) {
    for (std::size_t row = 0; row < kRows; ++row) {
      std::memcpy(padded_.data() + row * padded_row_bytes_, rows + row * row_bytes_, row_bytes_);
    }
    if (encoding_ == WeightEncoding::kInt4Group32Zero) pad_with_zero_points();
    rows = padded_.data();
  }
  switch (encoding_) {
    case WeightEncoding::kF32:
    case WeightEncoding::kBf16:
    case WeightEncoding::kInt8PerRow:
    case WeightEncoding::kFp8PerRow:
      return pack_words(rows, padded_row_bytes_, static_cast<std::size_t>(n_words_), tile);
    case WeightEncoding::kF16:
      return pack_halves(rows, padded_row_bytes_, static_cast<std::size_t>(n_cols_), tile);
    case WeightEncoding::kInt8Group32:
    case WeightEncoding::kInt4Group32:
    case WeightEncoding::kInt4Group32Zero:
    case WeightEncoding::kMxfp4Group32:
      return pack_groups(rows, padded_row_bytes_, tile);
    case WeightEncoding::kFp8Group128:
      return pack_fp8_groups(rows, padded_row_bytes_, tile);
    case WeightEncoding::kQ4K:
    case WeightEncoding::kQ5K:
    case WeightEncoding::kQ6K:
      return pack_k_blocks(rows, padded_row_bytes_, tile);
  }
}

void TilePacker::pad_with_zero_points() {
  const auto n_cols = static_cast<std::size_t>(n_cols_);
  const std::size_t n_padding = round_up(n_cols, std::size_t{kGroupColumns}) - n_cols;
  for (std::size_t row = 0; row < kRows; ++row) {
    const float zero = scales_[(row + 1) * row_scales_ - 1];
    std::byte* const end = padded_.data() + row * padded_row_bytes_ + n_cols;
    std::fill_n(end, n_padding, static_cast<std::byte>(static_cast<std::int8_t>(zero)));
  }
}

void TilePacker::pack_groups(const std::byte* rows, std::size_t stride, std::byte* tile) const {
  constexpr std::size_t kGroupWords = kGroupColumns / 4;
  const std::int64_t group_bytes = tile_layout(encoding_).bytes_per_multiple;
  const bool has_zeros = encoding_ == WeightEncoding::kInt4Group32Zero;
  const std::size_t n_groups = has_zeros ? row_scales_ / 2 : row_scales_;
  Block block;
  // A cache line of a row holds two groups.
  for (std::size_t group = 0; group < n_groups; ++group) {
    const std::size_t in_block = group * kGroupWords % kBlockWords;
    if (in_block == 0) transpose_block(rows + group * kGroupColumns, stride, block.data());
    std::byte* const to = tile + static_cast<std::int64_t>(group) * group_bytes;
    store_group(block.data() + in_block * kRows, scales_.data() + group, row_scales_, encoding_, to);
    if (has_zeros) store_bytes(scales_.data() + n_groups + group, row_scales_, to + kInt4GroupBytes);
  }
}

void TilePacker::pack_fp8_groups(const std::byte* rows, std::size_t stride, std::byte* tile) const {
  constexpr std::size_t kGroup = kFp8GroupColumns;
  static_assert(kGroup == 2 * kBlockBytes);
  for (std::size_t group = 0; group < row_scales_; ++group, tile += kFp8GroupBytes) {
    for (const std::size_t half : {std::size_t{0}, kBlockBytes}) {
      Block block{};
      if (group * kGroup + half < stride) transpose_block(rows + group * kGroup + half, stride, block.data());
      std::memcpy(tile + half * kRows, block.data(), sizeof block);
    }
    std::array<float, kRows> of_rows;
    for (std::size_t row = 0; row < kRows; ++row) of_rows[row] = scales_[row * row_scales_ + group];
    std::memcpy(tile + kGroup * kRows, of_rows.data(), sizeof of_rows);
  }
}

void TilePacker::pack_k_blocks(const std::byte* rows, std::size_t stride, std::byte* tile) const {
  constexpr std::size_t kGroupWords = kGroupColumns / 4;
  const bool has_minima = has_k_minima(encoding_);
  const auto n_floats = static_cast<std::size_t>(k_block_floats(encoding_));
  const bool has_fifth_bits = encoding_ == WeightEncoding::kQ5K;
  const std::size_t group_bytes = has_fifth_bits ? kQ5KGroupBytes : has_minima ? kQ4KGroupBytes : kQ6KGroupBytes;
  const auto n_blocks = static_cast<std::size_t>(n_cols_ / kBlockColumns);
  Block block;
  for (std::size_t at = 0; at < n_blocks; ++at, tile += tile_layout(encoding_).bytes_per_multiple) {
    const float* const floats = scales_.data() + at * n_floats;
    for (std::size_t group = 0; group < std::size_t{kBlockGroups}; ++group) {
      const std::size_t in_block = group * kGroupWords % kBlockWords;
      const std::size_t column = at * kBlockColumns + group * kGroupColumns;
      if (in_block == 0) transpose_block(rows + column, stride, block.data());
      const std::uint32_t* const words = block.data() + in_block * kRows;
      std::byte* const to = tile + group * group_bytes;
      store_nibbles(words, to);
      if (has_minima) {
        if (has_fifth_bits) store_fifth_bits(words, to + 256);
        store_bytes(floats + 2 + group, row_scales_, to + group_bytes - 32);
        store_bytes(floats + 10 + group, row_scales_, to + group_bytes - 16);
      } else {
        store_high_bits(words, to + 256);
        store_bytes(floats + 1 + 2 * group, row_scales_, to + 384);
        store_bytes(floats + 2 + 2 * group, row_scales_, to + 400);
      }
    }
    std::byte* const units = tile + kBlockGroups * group_bytes;
    store_halves(floats, row_scales_, units);
    if (has_minima) store_halves(floats + 1, row_scales_, units + 32);
  }
}

std::int32_t TilePacker::row_sum(std::int64_t row) const {
  const auto* const values = reinterpret_cast<const std::int8_t*>(values_.data()) + row * n_cols_;
  std::int32_t sum = 0;
  for (std::int64_t k = 0; k < n_cols_; ++k) sum += values[k];
  return sum;
}

}  // namespace secondsource::cpu
