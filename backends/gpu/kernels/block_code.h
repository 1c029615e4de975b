#pragma once
// Reads weights in blocks of GGUF on the device (kernels.h's BlockRow).
//
//   w[n, k] = (d * s[part of k]) * q[n, k] - (dmin * m[part of k])
//
// Dot products are compiled for each way in which codes are stored; encodings that differ only in their blocks and parts share one
// instance (block_kind()). Tiles, which decode a weight once for many rows of x, read from the weight's view how its codes are stored: one
// instance of each tile serves all encodings.
//
// A code of at most six bits becomes an FP16 number as int4 does (portable/packed_numbers.h): its bits are put into the mantissa of 1024,
// at the place where they lie in the word if that leaves the number below 2048.

#include "core/four_bit_curve.h"
#include "gpu/kernels/kernels.h"
#include "gpu/portable/packed_numbers.h"
#include "gpu/portable/storage.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

template <WeightEncoding kEncoding>
inline constexpr bool kIsBlocks = has_blocks(kEncoding);

/// The encoding whose instructions serve `encoding` as well: their codes are stored alike.
[[nodiscard]] constexpr WeightEncoding block_kind(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kQ41:
      return WeightEncoding::kQ4K;
    case WeightEncoding::kQ51:
      return WeightEncoding::kQ5K;
    case WeightEncoding::kIq4Nl:
      return WeightEncoding::kIq4Xs;
    default:
      return encoding;
  }
}

/// As a template argument this stands for all encodings in blocks, whose form is then read from the weight's view. nvcc needs an enumerator
/// for every argument; kIq4Nl is free, since block_kind() maps it to kIq4Xs.
inline constexpr WeightEncoding kAnyBlocks = WeightEncoding::kIq4Nl;
static_assert(block_kind(kAnyBlocks) != kAnyBlocks);

/// BlockCodes that are known when a kernel is compiled.
template <WeightEncoding kEncoding>
struct KnownCodes {
  static constexpr BlockCodes kCodes = block_codes(kEncoding);
  static constexpr int low_bits = kCodes.low_bits;
  static constexpr int high_bits = kCodes.high_bits;
  static constexpr int zero = kCodes.zero;
  static constexpr int part_cols_log2 = kCodes.part_cols_log2;
  static constexpr bool is_on_curve = kCodes.is_on_curve;
  static constexpr bool has_minima = kCodes.has_minima;
};

/// Decodes columns 2 * pair and 2 * pair + 1 of eight columns. `low` and `high` are words of the planes, in whose halves the bits of the
/// eight columns begin at bits `low_at` and `high_at`.
template <WeightEncoding kEncoding>
SS_DEVICE void unpack_known_codes(std::uint32_t low, int low_at, std::uint32_t high, int high_at, int pair,
                                  float* values) {
  using Codes = KnownCodes<kEncoding>;
  constexpr std::uint32_t kBoth = 0x00010001U;  // halves of a word
  constexpr std::uint32_t k1024 = 0x64006400U;  // twice 1024 in FP16, whose last place is worth 1
  const int bit = low_at + Codes::low_bits * pair;
  const int place = bit % 8;  // in a half of the result, whose mantissa has ten bits
  std::uint32_t halves = and_or(low >> (bit - place), ((1U << Codes::low_bits) - 1) * kBoth << place, k1024);
  if constexpr (Codes::high_bits > 0) {
    const int left = place + Codes::low_bits - (high_at + Codes::high_bits * pair);
    const std::uint32_t moved = left >= 0 ? high << left : high >> -left;
    halves = and_or(moved, ((1U << Codes::high_bits) - 1) * kBoth << (place + Codes::low_bits), halves);
  }
  // Each half is 1024 + 2^place * code. Multiplied by 2^-place, and less 1024 / 2^place + zero, it is code - zero.
  const F16 factor{static_cast<std::uint16_t>((15 - place) << 10)};
  const std::uint32_t addend =
      0xe400U - (static_cast<std::uint32_t>(place) << 10) + (static_cast<std::uint32_t>(Codes::zero) << place);
  multiply_add_halves(halves, factor, addend * kBoth, values[0], values[1]);
}

/// Four neighbouring numbers of the curve plus 128, a byte each.
[[nodiscard]] constexpr std::uint32_t pack_curve(int first) {
  std::uint32_t bytes = 0;
  for (int i = 0; i < 4; ++i) {
    bytes |= static_cast<std::uint32_t>(kFourBitCurve[static_cast<std::size_t>(first + i)] + 128) << (8 * i);
  }
  return bytes;
}
inline constexpr std::uint32_t kCurve0 = pack_curve(0);
inline constexpr std::uint32_t kCurve4 = pack_curve(4);
inline constexpr std::uint32_t kCurve8 = pack_curve(8);
inline constexpr std::uint32_t kCurve12 = pack_curve(12);

/// Decodes eight columns on the curve, whose indices a word of the plane holds. The lowest three bits of an index choose among eight bytes
/// of each half of the curve, and the fourth chooses the half, as in llama.cpp's get_int_from_table_16().
SS_DEVICE void unpack_curve(std::uint32_t word, float* values) {
#if defined(SS_GPU_TILE_MMA)
  // Columns 0, 2, 4 and 6 have their indices in the lower half of the word, a nibble each, and the others in the upper half.
  const std::uint32_t within = word & 0x77777777U;
  const std::uint32_t halves = and_or(word >> 1, 0x44444444U, 0x32103210U);
  SS_UNROLL
  for (int odd = 0; odd < 2; ++odd) {
    const std::uint32_t choice = within >> (16 * odd);
    const std::uint32_t lower = choose_bytes(kCurve0, kCurve4, choice);
    const std::uint32_t upper = choose_bytes(kCurve8, kCurve12, choice);
    const std::uint32_t bytes = choose_bytes(lower, upper, halves >> (16 * odd));
    SS_UNROLL
    for (int i = 0; i < 4; ++i) {  // 2^23 + byte - (2^23 + 128)
      values[2 * i + odd] =
          bits_as<float>(choose_bytes(bytes, 0x4b000000U, 0x7540U + static_cast<std::uint32_t>(i))) - 8388736.0F;
    }
  }
#else
  SS_UNROLL
  for (int pair = 0; pair < 2; ++pair) {  // bytes of the columns 2 * pair, 2 * pair + 4, 2 * pair + 1 and 2 * pair + 5
    const std::uint32_t indices = word >> (4 * pair) & 0x0f0f0f0fU;
    const std::uint32_t within = indices & 0x07070707U;
    const std::uint32_t lower = choose_bytes(kCurve0, kCurve4, within);
    const std::uint32_t upper = choose_bytes(kCurve8, kCurve12, within);
    const std::uint32_t bytes = choose_bytes(lower, upper, and_or(indices >> 1, 0x04040404U, 0x03020100U));
    SS_UNROLL
    for (int i = 0; i < 4; ++i) {
      values[2 * pair + i % 2 * 4 + i / 2] = static_cast<float>(bytes >> (8 * i) & 0xffU) - 128.0F;
    }
  }
#endif
}

/// Values kPart * part to kPart * part + kPart - 1 of 32 columns, without scale and minimum. kPart is 4 or 8. `low`, `high`: the words of
/// both planes.
template <WeightEncoding kEncoding, int kPart>
SS_DEVICE void unpack_block_part(const std::uint32_t* low, const std::uint32_t* high, int part, float* values) {
  using Codes = KnownCodes<kEncoding>;
  const int eight = part * kPart / 8;           // of the four times eight columns
  const int first_pair = part * kPart % 8 / 2;  // of the eight columns
  const int low_place = Codes::low_bits * eight;
  if constexpr (Codes::is_on_curve) {
    float all[8];
    unpack_curve(low[eight], all);
    SS_UNROLL
    for (int i = 0; i < kPart; ++i) values[i] = all[2 * first_pair + i];
  } else {
    const int high_place = Codes::high_bits * eight;
    SS_UNROLL
    for (int pair = 0; pair < kPart / 2; ++pair) {
      unpack_known_codes<kEncoding>(low[low_place / 4], low_place * 4 % 16, high[high_place / 4], high_place * 4 % 16,
                                    first_pair + pair, values + 2 * pair);
    }
  }
}

/// Loads the low bits of 32 columns. Where these are two bits a code, they are the first two words of the chunk.
template <WeightEncoding kEncoding>
SS_DEVICE Chunk load_block_codes(const std::byte* row, int chunk) {
  if constexpr (KnownCodes<kEncoding>::low_bits == 4) {
    return load_chunk(row + std::int64_t{chunk} * 16);
  } else {
    struct alignas(8) Half {
      std::uint32_t word[2];
    };
    const auto half = load_words<Half>(row + std::int64_t{chunk} * 8);
    return {.word = {half.word[0], half.word[1], 0, 0}};
  }
}

/// The units, scales, minima and high bits of 32 columns of a row in blocks: all that they have besides the low bits of their codes.
template <WeightEncoding kEncoding>
struct BlockGroup {
  using Codes = KnownCodes<kEncoding>;
  static constexpr int kParts = 32 >> Codes::part_cols_log2;
  using Bytes = std::conditional_t<kParts == 2, std::uint16_t, std::uint8_t>;  ///< of the parts
  using Units = std::conditional_t<Codes::has_minima, std::uint32_t, std::uint16_t>;
  std::uint32_t high[Codes::high_bits > 0 ? Codes::high_bits : 1];
  Units units;
  Bytes scales;
  Bytes minima;

  /// Loads this for the 32 columns of a row from `col` on, which must be inside of the weight.
  SS_DEVICE void load(const WeightView& weight, std::int64_t row, int col) {
    const BlockRow& blocks = weight.blocks;
    const std::byte* const begin = weight.values + row * weight.row_bytes;
    const int group = col / 32;
    const int units_at = (col >> blocks.block_cols_log2) * static_cast<int>(sizeof(Units));
    const int parts_at = (blocks.has_parts ? group : 0) * static_cast<int>(sizeof(Bytes));
    if constexpr (Codes::high_bits > 0) {
      const std::byte* const words = in_plane(begin, blocks.high_at, group * Codes::high_bits * 4);
      SS_UNROLL
      for (int i = 0; i < Codes::high_bits; ++i) high[i] = load_words<std::uint32_t>(words + i * 4);
    }
    units = *reinterpret_cast<const Units*>(in_plane(begin, blocks.units_at, units_at));
    scales = *reinterpret_cast<const Bytes*>(in_plane(begin, blocks.scales_at, parts_at));
    if constexpr (Codes::has_minima) {
      minima = *reinterpret_cast<const Bytes*>(in_plane(begin, blocks.minima_at, parts_at));
    }
  }
  /// The scale of the values of unpack_block_part() in part `part` of the 32 columns.
  [[nodiscard]] SS_DEVICE float scale(int part) const {
    return widen(F16{static_cast<std::uint16_t>(units)}) *
           static_cast<float>(static_cast<std::int8_t>(scales >> (8 * part)));
  }
  /// What is subtracted from each value after it is scaled.
  [[nodiscard]] SS_DEVICE float minimum(int part) const {
    if constexpr (Codes::has_minima) {
      return widen(F16{static_cast<std::uint16_t>(units >> 16)}) * static_cast<float>(minima >> (8 * part) & 0xffU);
    } else {
      return 0.0F;
    }
  }
  /// Adds the dot product of some columns of one part with x to `whole`. `sum` is that of the values of unpack_block_part(), without scale
  /// and minimum, and `x_sum` is the sum of the same x.
  SS_DEVICE void add_scaled(float sum, [[maybe_unused]] float x_sum, int part, float& whole) const {
    whole += scale(part) * sum;
    if constexpr (Codes::has_minima) whole -= minimum(part) * x_sum;
  }
};

/// Eight columns of a row of any encoding in blocks, as they are stored.
struct BlockVec {
  std::uint32_t low = 0;  ///< words of the planes, which may have other columns, too
  std::uint32_t high = 0;
  F16 unit = {};
  F16 minimum_unit = {};
  std::int8_t scale = 0;
  std::uint8_t minimum = 0;

  /// Loads vector `vec` of a row. It makes the same loads for every encoding, and where there are no high bits or minima, it loads other
  /// bytes of the row and does not use them: a conditional load would be a branch on AMD, with a wait for the load in it.
  SS_DEVICE void load(const WeightView& weight, std::int64_t row, int vec) {
    const BlockRow& blocks = weight.blocks;
    const BlockCodes& codes = blocks.codes;
    const std::byte* const begin = weight.values + row * weight.row_bytes;
    const int low_place = codes.low_bits * vec;
    const int high_place = codes.high_bits * vec;
    low = load_words<std::uint32_t>(begin + low_place / 4 * 4);
    high = load_words<std::uint32_t>(in_plane(begin, blocks.high_at, high_place / 4 * 4));
    const int unit_halves = codes.has_minima ? 2 : 1;
    const int block = vec >> (blocks.block_cols_log2 - 3);
    const auto* const units = reinterpret_cast<const F16*>(in_plane(begin, blocks.units_at, block * unit_halves * 2));
    unit = units[0];
    minimum_unit = units[unit_halves - 1];
    const int part = blocks.has_parts ? vec >> (codes.part_cols_log2 - 3) : 0;
    scale = *reinterpret_cast<const std::int8_t*>(in_plane(begin, blocks.scales_at, part));
    minimum = *reinterpret_cast<const std::uint8_t*>(in_plane(begin, blocks.minima_at, part));
  }

  /// Decodes the eight values. `blocks` is the weight's, and `vec` is what was passed to load(). Its remainder by 4 will do, since `vec`
  /// only says where in the words the bits of these columns begin.
  SS_DEVICE void unpack(const BlockRow& blocks, int vec, float* values) const {
    constexpr std::uint32_t kBoth = 0x00010001U;
    const BlockCodes& codes = blocks.codes;
    if (codes.is_on_curve) {
      unpack_curve(low, values);
    } else {
      const std::uint32_t low_mask = ((1U << codes.low_bits) - 1) * kBoth;
      const std::uint32_t high_mask = ((1U << codes.high_bits) - 1) * kBoth;
      const std::uint32_t addends = (0xe400U + static_cast<std::uint32_t>(codes.zero)) * kBoth;  // -1024 - zero
      const std::uint32_t own_low = low >> (codes.low_bits * vec * 4 % 16);
      const std::uint32_t own_high = high >> (codes.high_bits * vec * 4 % 16);
      SS_UNROLL
      for (int pair = 0; pair < 4; ++pair) {
        const std::uint32_t upper = (own_high >> (codes.high_bits * pair) & high_mask) << codes.low_bits;
        const std::uint32_t halves = and_or(own_low >> (codes.low_bits * pair), low_mask, upper | 0x64006400U);
        multiply_add_halves(halves, F16{0x3c00}, addends, values[2 * pair], values[2 * pair + 1]);
      }
    }
    const float whole_scale = widen(unit) * static_cast<float>(scale);
    const float whole_minimum = codes.has_minima ? widen(minimum_unit) * static_cast<float>(minimum) : 0.0F;
    SS_UNROLL
    for (int i = 0; i < 8; ++i) values[i] = whole_scale * values[i] - whole_minimum;
  }
};

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
