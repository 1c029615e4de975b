#pragma once
// Reads prepared weights on the device: decodes values of every encoding to f32.

#include "gpu/kernels/block_code.h"
#include "gpu/kernels/kernels.h"
#include "gpu/portable/packed_numbers.h"
#include "gpu/portable/storage.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

template <WeightEncoding kEncoding>
inline constexpr bool kIsInt8 = kEncoding == WeightEncoding::kInt8PerRow || kEncoding == WeightEncoding::kInt8Group32;

template <WeightEncoding kEncoding>
inline constexpr bool kHasZeros = kEncoding == WeightEncoding::kInt4Group32Zero;
template <WeightEncoding kEncoding>
inline constexpr bool kIsInt4 = kEncoding == WeightEncoding::kInt4Group32 || kHasZeros<kEncoding>;
template <WeightEncoding kEncoding>
inline constexpr bool kIsNvfp4 = kEncoding == WeightEncoding::kNvfp4Group16;
template <WeightEncoding kEncoding>
inline constexpr bool kIsE2m1 = kEncoding == WeightEncoding::kMxfp4Group32 || kIsNvfp4<kEncoding>;
/// Encodings of four bits per value.
template <WeightEncoding kEncoding>
inline constexpr bool kIsFourBit = kIsInt4<kEncoding> || kIsE2m1<kEncoding>;

/// Encodings with one scale per group of 32 columns, or of kNvfp4Group16 with a pair of scales.
template <WeightEncoding kEncoding>
inline constexpr bool kHasGroups = kEncoding == WeightEncoding::kInt8Group32 || kIsFourBit<kEncoding>;

/// Encodings with one f32 scale per group of 128 columns; the others that have no groups have a scale per row or none.
template <WeightEncoding kEncoding>
inline constexpr bool kHasWideGroups = kEncoding == WeightEncoding::kFp8Group128;
template <WeightEncoding kEncoding>
inline constexpr bool kIsE4m3 = kEncoding == WeightEncoding::kFp8PerRow || kHasWideGroups<kEncoding>;

/// Encodings in blocks of a known form, whose values have a minimum.
template <WeightEncoding kEncoding>
inline constexpr bool kHasMinima = block_codes(kEncoding).has_minima;

/// Encodings with one scale per row.
template <WeightEncoding kEncoding>
inline constexpr bool kHasRowScales = has_row_scale(kEncoding);
/// The same for an encoding that is read from the weight: kernels can call has_row_scale() in constant expressions only.
SS_DEVICE bool has_row_scales(WeightEncoding encoding) {
  return encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kFp8PerRow ||
         encoding == WeightEncoding::kNvfp4Group16;
}

/// Encodings of one byte per value.
template <WeightEncoding kEncoding>
inline constexpr bool kIsByte = kIsInt8<kEncoding> || kIsE4m3<kEncoding>;

/// Accumulator of int8 by int8 products over a whole row: int32, or f32 if each group has a scale.
template <WeightEncoding kEncoding>
using QuantizedSum = std::conditional_t<kHasGroups<kEncoding>, float, std::int32_t>;

/// Values that a lane loads at a time: as many as 16 bytes hold, or 32 of an encoding in blocks, whose low bits are 16 bytes at most. Where
/// the form of blocks is read from the weight, a lane loads eight values.
template <WeightEncoding kEncoding>
inline constexpr int kChunkValues = kEncoding == WeightEncoding::kF32                                            ? 4
                                    : kIsByte<kEncoding>                                                         ? 16
                                    : kIsFourBit<kEncoding> || (kIsBlocks<kEncoding> && kEncoding != kAnyBlocks) ? 32
                                                                                                                 : 8;

/// Consecutive values of a chunk that share what ChunkGroup::scaled() multiplies by.
template <WeightEncoding kEncoding>
inline constexpr int kSpanValues = kIsNvfp4<kEncoding> ? static_cast<int>(kNvfp4GroupSize) : kChunkValues<kEncoding>;

/// n_wide_groups() of kernels.h for device code, which the GPU compilers do not let call it.
SS_DEVICE int n_wide_groups_on_device(int n_cols) {
  constexpr int kColumns = static_cast<int>(kFp8GroupSize);
  return (n_cols + kColumns - 1) / kColumns;
}

/// The scale and zero point of the group of columns that a 16-byte chunk of a weight lies in, as they are stored: fetched with the
/// chunk, and used when it is multiplied. Empty for encodings without groups.
template <WeightEncoding kEncoding>
struct ChunkGroup {
  struct Nothing {};
  using GroupScale =
      std::conditional_t<kIsNvfp4<kEncoding>, E4m3Pair, std::conditional_t<kIsE2m1<kEncoding>, E8m0, F16>>;
  std::conditional_t<kHasWideGroups<kEncoding>, float, std::conditional_t<kHasGroups<kEncoding>, GroupScale, Nothing>>
      stored_scale;
  std::conditional_t<kHasZeros<kEncoding>, std::uint8_t, Nothing> zero;

  /// Loads those of column `col` of a row. Both must be inside of the weight.
  SS_DEVICE void load(const WeightView& weight, std::int64_t row, int col) {
    constexpr int kColumns = static_cast<int>(kHasWideGroups<kEncoding> ? kFp8GroupSize : kScaleGroupSize);
    if constexpr (kHasGroups<kEncoding>) {
      const std::int64_t at = row * (weight.padded_cols / kColumns) + col / kColumns;
      if constexpr (kIsNvfp4<kEncoding>) {
        stored_scale = weight.scale_pairs[at];
      } else if constexpr (kIsE2m1<kEncoding>) {
        stored_scale = weight.group_powers[at];
      } else {
        stored_scale = weight.group_scales[at];
      }
      if constexpr (kHasZeros<kEncoding>) zero = weight.group_zeros[at];
    } else if constexpr (kHasWideGroups<kEncoding>) {
      stored_scale = weight.wide_scales[row * n_wide_groups_on_device(weight.n_cols) + col / kColumns];
    }
  }
  /// The scale of span `span` (kSpanValues); for kNvfp4Group16 divided by kE4m3HalfUnit. 1 where there are no groups.
  [[nodiscard]] SS_DEVICE float scale([[maybe_unused]] int span = 0) const {
    if constexpr (kIsNvfp4<kEncoding>) {
      return widen_e4m3_as_half(stored_scale.bits >> (8 * span));
    } else if constexpr (kHasGroups<kEncoding>) {
      return widen(stored_scale);
    } else if constexpr (kHasWideGroups<kEncoding>) {
      return stored_scale;
    } else {
      return 1.0F;
    }
  }
  /// A sum of products with values of unpack(), or one of these, times the scale. All are of span `span`.
  [[nodiscard]] SS_DEVICE float scaled(float sum, int span = 0) const {
    if constexpr (kIsNvfp4<kEncoding>) return scale(span) * (sum * (kE2m1Unit * kE4m3HalfUnit));
    if constexpr (kIsE2m1<kEncoding>) sum *= kE2m1Unit;  // separately, since their product may be too large for f32
    return scale() * sum;
  }
  [[nodiscard]] SS_DEVICE Int4Addends addends() const {
    if constexpr (kHasZeros<kEncoding>) {
      return int4_addends(zero);
    } else {
      return {};
    }
  }
};

/// The scales and the like that a lane loads with the codes of a chunk.
template <WeightEncoding kEncoding>
using GroupOf = std::conditional_t<kIsBlocks<kEncoding>, BlockGroup<kEncoding>, ChunkGroup<kEncoding>>;

/// Chunk `index` of a row: kChunkValues values, without what belongs to their group.
template <WeightEncoding kEncoding>
SS_DEVICE Chunk load_codes(const WeightView& weight, std::int64_t row, int index) {
  const std::byte* const begin = weight.values + row * weight.row_bytes;
  if constexpr (kIsBlocks<kEncoding>) {
    return load_block_codes<kEncoding>(begin, index);
  } else {
    return load_chunk(begin + std::int64_t{index} * 16);
  }
}

/// The values of one 16-byte chunk, which ChunkGroup::scaled() completes. `addends`: those of int4, by its zero point.
template <WeightEncoding kEncoding>
SS_DEVICE void unpack(const Chunk& chunk, float* values, [[maybe_unused]] Int4Addends addends = {}) {
  SS_UNROLL
  for (int w = 0; w < 4; ++w) {
    const std::uint32_t word = chunk.word[w];
    if constexpr (kEncoding == WeightEncoding::kF32) {
      values[w] = bits_as<float>(word);
    } else if constexpr (kIsInt8<kEncoding>) {
      unpack_int8(word, values + 4 * w);
    } else if constexpr (kIsE4m3<kEncoding>) {
      unpack_e4m3(word, values + 4 * w);
    } else if constexpr (kIsInt4<kEncoding>) {
      unpack_int4(word, values + 8 * w, addends);
    } else if constexpr (kIsE2m1<kEncoding>) {
      unpack_e2m1(word, values + 8 * w);
    } else {
      using Stored = std::conditional_t<kEncoding == WeightEncoding::kBf16, Bf16, F16>;
      values[2 * w] = widen(Stored{static_cast<std::uint16_t>(word)});
      values[2 * w + 1] = widen(Stored{static_cast<std::uint16_t>(word >> 16)});
    }
  }
}

/// The scale of the group that column `col` of a row is in.
SS_DEVICE float group_scale(const WeightView& weight, std::int64_t row, int col) {
  constexpr int kColumns = static_cast<int>(kScaleGroupSize);
  return widen(weight.group_scales[row * (weight.padded_cols / kColumns) + col / kColumns]);
}

/// The bit of a word at which a column begins. `shifts`: one of kernels.h's lists of such bits.
SS_DEVICE int shift_in_word(std::uint64_t shifts, int col) {
  return static_cast<int>(shifts >> (col % 8 * 8) & 31U);
}

/// The E2M1 number of a column in its word, stored as kE2m1Shifts says, divided by kE2m1Unit.
SS_DEVICE float e2m1_number(std::uint32_t word, int col) {
  const std::uint32_t number = word >> shift_in_word(kE2m1Shifts, col) & 7U;
  const std::uint32_t sign = word >> shift_in_word(kE2m1SignShifts, col) & 1U;
  return widen(F16{static_cast<std::uint16_t>(number << 9 | sign << 15)});
}

/// One value, scale included.
SS_DEVICE float weight_value(const WeightView& weight, std::int64_t row, int col) {
  const std::byte* const begin = weight.values + row * weight.row_bytes;
  switch (weight.encoding) {
    case WeightEncoding::kF32:
      return reinterpret_cast<const float*>(begin)[col];
    case WeightEncoding::kBf16:
      return widen(reinterpret_cast<const Bf16*>(begin)[col]);
    case WeightEncoding::kF16:
      return widen(reinterpret_cast<const F16*>(begin)[col]);
    case WeightEncoding::kInt8PerRow:
      return weight.row_scales[row] * static_cast<float>(reinterpret_cast<const std::int8_t*>(begin)[col]);
    case WeightEncoding::kInt4Group32:
    case WeightEncoding::kInt4Group32Zero: {
      const std::uint32_t word = reinterpret_cast<const std::uint32_t*>(begin)[col / 8];
      constexpr int kColumns = static_cast<int>(kScaleGroupSize);
      const int zero = weight.encoding == WeightEncoding::kInt4Group32
                           ? kInt4Zero
                           : weight.group_zeros[row * (weight.padded_cols / kColumns) + col / kColumns];
      const int q = static_cast<int>(word >> shift_in_word(kInt4Shifts, col) & 15U) - zero;
      return group_scale(weight, row, col) * static_cast<float>(q);
    }
    case WeightEncoding::kInt8Group32:
      return group_scale(weight, row, col) * static_cast<float>(reinterpret_cast<const std::int8_t*>(begin)[col]);
    case WeightEncoding::kFp8PerRow:
    case WeightEncoding::kFp8Group128: {
      float values[4];
      unpack_e4m3(static_cast<std::uint32_t>(begin[col]), values);
      if (weight.encoding == WeightEncoding::kFp8PerRow) return weight.row_scales[row] * values[0];
      ChunkGroup<WeightEncoding::kFp8Group128> group;
      group.load(weight, row, col);
      return group.scale() * values[0];
    }
    case WeightEncoding::kMxfp4Group32: {
      const float number = e2m1_number(reinterpret_cast<const std::uint32_t*>(begin)[col / 8], col);
      ChunkGroup<WeightEncoding::kMxfp4Group32> group;
      group.load(weight, row, col);
      return group.scaled(number);
    }
    case WeightEncoding::kNvfp4Group16: {
      const float number = e2m1_number(reinterpret_cast<const std::uint32_t*>(begin)[col / 8], col);
      ChunkGroup<WeightEncoding::kNvfp4Group16> group;
      group.load(weight, row, col);
      return group.scaled(number, col % 32 / 16) * weight.row_scales[row];
    }
    case WeightEncoding::kQ2K:
    case WeightEncoding::kQ3K:
    case WeightEncoding::kQ4K:
    case WeightEncoding::kQ5K:
    case WeightEncoding::kQ6K:
    case WeightEncoding::kIq4Xs:
    case WeightEncoding::kQ41:
    case WeightEncoding::kQ50:
    case WeightEncoding::kQ51:
    case WeightEncoding::kIq4Nl: {
      BlockVec vec;
      vec.load(weight, row, col / 8);
      float values[8];
      vec.unpack(weight.blocks, col / 8, values);
      return values[col % 8];
    }
  }
  return 0.0F;
}

/// Host code: calls call.template operator()<encoding>() for a weight that is multiplied with int8 activations, which has
/// one of two encodings.
template <typename Call>
auto with_quantized_encoding(WeightEncoding encoding, const Call& call) {
  if (encoding == WeightEncoding::kInt8Group32) return call.template operator()<WeightEncoding::kInt8Group32>();
  return call.template operator()<WeightEncoding::kInt8PerRow>();
}

/// Host code: calls call.template operator()<encoding>() for the weight's encoding, which must not have blocks.
template <typename Call>
auto with_encoding_without_blocks(WeightEncoding encoding, const Call& call) {
  switch (encoding) {
    case WeightEncoding::kF32:
      return call.template operator()<WeightEncoding::kF32>();
    case WeightEncoding::kBf16:
      return call.template operator()<WeightEncoding::kBf16>();
    case WeightEncoding::kF16:
      return call.template operator()<WeightEncoding::kF16>();
    case WeightEncoding::kInt8PerRow:
      return call.template operator()<WeightEncoding::kInt8PerRow>();
    case WeightEncoding::kInt8Group32:
      return call.template operator()<WeightEncoding::kInt8Group32>();
    case WeightEncoding::kFp8PerRow:
      return call.template operator()<WeightEncoding::kFp8PerRow>();
    case WeightEncoding::kFp8Group128:
      return call.template operator()<WeightEncoding::kFp8Group128>();
    case WeightEncoding::kInt4Group32Zero:
      return call.template operator()<WeightEncoding::kInt4Group32Zero>();
    case WeightEncoding::kMxfp4Group32:
      return call.template operator()<WeightEncoding::kMxfp4Group32>();
    case WeightEncoding::kNvfp4Group16:
      return call.template operator()<WeightEncoding::kNvfp4Group16>();
    case WeightEncoding::kInt4Group32:
    case WeightEncoding::kQ2K:
    case WeightEncoding::kQ3K:
    case WeightEncoding::kQ4K:
    case WeightEncoding::kQ5K:
    case WeightEncoding::kQ6K:
    case WeightEncoding::kIq4Xs:
    case WeightEncoding::kQ41:
    case WeightEncoding::kQ50:
    case WeightEncoding::kQ51:
    case WeightEncoding::kIq4Nl:
      break;
  }
  return call.template operator()<WeightEncoding::kInt4Group32>();
}

/// Host code: the same for any encoding; kAnyBlocks if it has blocks.
template <typename Call>
auto with_encoding(WeightEncoding encoding, const Call& call) {
  if (has_blocks(encoding)) return call.template operator()<kAnyBlocks>();
  return with_encoding_without_blocks(encoding, call);
}

/// Host code: the same for any encoding; block_kind() if it has blocks.
template <typename Call>
auto with_known_encoding(WeightEncoding encoding, const Call& call) {
  switch (block_kind(encoding)) {
    case WeightEncoding::kQ2K:
      return call.template operator()<WeightEncoding::kQ2K>();
    case WeightEncoding::kQ3K:
      return call.template operator()<WeightEncoding::kQ3K>();
    case WeightEncoding::kQ4K:
      return call.template operator()<WeightEncoding::kQ4K>();
    case WeightEncoding::kQ5K:
      return call.template operator()<WeightEncoding::kQ5K>();
    case WeightEncoding::kQ50:
      return call.template operator()<WeightEncoding::kQ50>();
    case WeightEncoding::kQ6K:
      return call.template operator()<WeightEncoding::kQ6K>();
    case WeightEncoding::kIq4Xs:
      return call.template operator()<WeightEncoding::kIq4Xs>();
    default:
      return with_encoding_without_blocks(encoding, call);
  }
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
