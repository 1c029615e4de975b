#include "cpu/tile_packing.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/checked.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/half.h"
#include "core/vector_clones.h"
#include "cpu/tile_blocks.h"
#include "cpu/tile_words.h"

namespace secondsource::cpu {
namespace {

/// Packs words as [n_words][16 rows].
void pack_words(const std::byte* rows, std::size_t stride, std::size_t n_words, std::byte* tile) {
  auto* const out = reinterpret_cast<std::uint32_t*>(tile);
  std::size_t word = 0;
  for (; word + kLineWords <= n_words; word += kLineWords) {
    transpose_block(rows + word * 4, stride, out + word * kRows);
  }
  if (word == n_words) return;
  WordBlock block;
  transpose_block(rows + word * 4, stride, block.data());
  std::memcpy(out + word * kRows, block.data(), (n_words - word) * kRows * sizeof(std::uint32_t));
}

/// Packs 16-bit values as [n_cols][16 rows], from words of two columns each.
void pack_halves(const std::byte* rows, std::size_t stride, std::size_t n_cols, std::byte* tile) {
  auto* const out = reinterpret_cast<std::uint16_t*>(tile);
  WordBlock block;
  for (std::size_t column = 0; column < n_cols; column += 2 * kLineWords) {
    transpose_block(rows + column * 2, stride, block.data());
    const std::size_t n = std::min(2 * kLineWords, n_cols - column);
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t* const pairs = block.data() + i / 2 * kRows;
      const unsigned shift = i % 2 * 16;
      std::uint16_t* const to = out + (column + i) * kRows;
      for (std::size_t row = 0; row < kRows; ++row) to[row] = static_cast<std::uint16_t>(pairs[row] >> shift);
    }
  }
}

/// Stores a group of 32 columns from its transposed words, eight per row, and its scales, which are `stride` apart: in E8M0 for mxfp4,
/// otherwise in FP16.
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
    case WeightEncoding::kNvfp4Group16:
      return {kNvfp4BlockColumns, kNvfp4BlockBytes};
    default:
      return {block_form(encoding).n_cols, block_tile_bytes(encoding)};
  }
}

TilePacker::TilePacker(WeightEncoding encoding, std::int64_t n_cols)
    : encoding_(encoding),
      n_cols_(n_cols),
      row_bytes_(static_cast<std::size_t>(n_cols) * transfer_bytes_per_value(encoding)),
      padded_row_bytes_(round_up(row_bytes_, kLineBytes)),
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
    case WeightEncoding::kNvfp4Group16:
      return pack_nvfp4(rows, padded_row_bytes_, tile);
    default:
      return pack_blocks(encoding_, n_cols_, {rows, padded_row_bytes_, scales_.data(), row_scales_}, tile);
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
  WordBlock block;
  // A cache line of a row holds two groups.
  for (std::size_t group = 0; group < n_groups; ++group) {
    const std::size_t in_block = group * kGroupWords % kLineWords;
    if (in_block == 0) transpose_block(rows + group * kGroupColumns, stride, block.data());
    std::byte* const to = tile + static_cast<std::int64_t>(group) * group_bytes;
    store_group(block.data() + in_block * kRows, scales_.data() + group, row_scales_, encoding_, to);
    if (has_zeros) store_bytes(scales_.data() + n_groups + group, row_scales_, to + kInt4GroupBytes);
  }
}

void TilePacker::pack_fp8_groups(const std::byte* rows, std::size_t stride, std::byte* tile) const {
  constexpr std::size_t kGroup = kFp8GroupColumns;
  static_assert(kGroup == 2 * kLineBytes);
  for (std::size_t group = 0; group < row_scales_; ++group, tile += kFp8GroupBytes) {
    for (const std::size_t half : {std::size_t{0}, kLineBytes}) {
      WordBlock block{};
      if (group * kGroup + half < stride) transpose_block(rows + group * kGroup + half, stride, block.data());
      std::memcpy(tile + half * kRows, block.data(), sizeof block);
    }
    std::array<float, kRows> of_rows;
    for (std::size_t row = 0; row < kRows; ++row) of_rows[row] = scales_[row * row_scales_ + group];
    std::memcpy(tile + kGroup * kRows, of_rows.data(), sizeof of_rows);
  }
}

void TilePacker::pack_nvfp4(const std::byte* rows, std::size_t stride, std::byte* tile) const {
  constexpr std::size_t kParts = kNvfp4BlockColumns / kNvfp4GroupSize;
  static_assert(kNvfp4BlockColumns == kLineBytes && kPartColumns == kNvfp4GroupSize);
  constexpr auto kBefore = static_cast<std::size_t>(floats_before_group_scales(WeightEncoding::kNvfp4Group16));
  const std::size_t n_scales = row_scales_ - kBefore;
  WordBlock block;
  for (std::size_t at = 0; at * kParts < n_scales; ++at, tile += kNvfp4BlockBytes) {
    transpose_block(rows + at * kLineBytes, stride, block.data());
    store_nibbles(block.data(), tile);
    store_nibbles(block.data() + kGroupColumns / 4 * kRows, tile + 16 * kGroupColumns / 2);
    std::byte* const scales = tile + kNvfp4BlockBytes - kParts * kRows;
    for (std::size_t row = 0; row < kRows; ++row) {
      const float* const of_row = scales_.data() + row * row_scales_ + kBefore;
      for (std::size_t part = 0; part < kParts; ++part) {
        const std::size_t scale = at * kParts + part;
        scales[row * kParts + part] = static_cast<std::byte>(scale < n_scales ? to_e4m3(of_row[scale]).bits : 0);
      }
    }
  }
}

std::int32_t TilePacker::row_sum(std::int64_t row) const {
  const auto* const values = reinterpret_cast<const std::int8_t*>(values_.data()) + row * n_cols_;
  std::int32_t sum = 0;
  for (std::int64_t k = 0; k < n_cols_; ++k) sum += values[k];
  return sum;
}

}  // namespace secondsource::cpu
