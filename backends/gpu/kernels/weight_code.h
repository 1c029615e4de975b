#pragma once
// Reads prepared weights on the device: decodes values of every encoding to f32.

#include "gpu/kernels/kernels.h"
#include "gpu/portable/packed_numbers.h"
#include "gpu/portable/storage.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

template <WeightEncoding kEncoding>
inline constexpr bool kIsInt8 = kEncoding == WeightEncoding::kInt8PerRow || kEncoding == WeightEncoding::kInt8Group32;

/// Encodings with one scale per group of 32 columns; the others have one per row or none.
template <WeightEncoding kEncoding>
inline constexpr bool kHasGroups =
    kEncoding == WeightEncoding::kInt8Group32 || kEncoding == WeightEncoding::kInt4Group32;

/// Encodings with one scale per row.
template <WeightEncoding kEncoding>
inline constexpr bool kHasRowScales =
    kEncoding == WeightEncoding::kInt8PerRow || kEncoding == WeightEncoding::kFp8PerRow;
SS_DEVICE bool has_row_scales(WeightEncoding encoding) {
  return encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kFp8PerRow;
}

/// Encodings of one byte per value.
template <WeightEncoding kEncoding>
inline constexpr bool kIsByte = kIsInt8<kEncoding> || kEncoding == WeightEncoding::kFp8PerRow;

/// Accumulator of int8 by int8 products over a whole row: int32, or f32 if each group has a scale.
template <WeightEncoding kEncoding>
using QuantizedSum = std::conditional_t<kHasGroups<kEncoding>, float, std::int32_t>;

/// Values of an encoding per 16 bytes.
template <WeightEncoding kEncoding>
inline constexpr int kChunkValues = kEncoding == WeightEncoding::kF32           ? 4
                                    : kIsByte<kEncoding>                        ? 16
                                    : kEncoding == WeightEncoding::kInt4Group32 ? 32
                                                                                : 8;

/// The values of one 16-byte chunk, without their scale.
template <WeightEncoding kEncoding>
SS_DEVICE void unpack(const Chunk& chunk, float* values) {
  SS_UNROLL
  for (int w = 0; w < 4; ++w) {
    const std::uint32_t word = chunk.word[w];
    if constexpr (kEncoding == WeightEncoding::kF32) {
      values[w] = bits_as<float>(word);
    } else if constexpr (kIsInt8<kEncoding>) {
      unpack_int8(word, values + 4 * w);
    } else if constexpr (kEncoding == WeightEncoding::kFp8PerRow) {
      unpack_e4m3(word, values + 4 * w);
    } else if constexpr (kEncoding == WeightEncoding::kInt4Group32) {
      unpack_int4(word, values + 8 * w);
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
    case WeightEncoding::kInt4Group32: {
      const std::uint32_t word = reinterpret_cast<const std::uint32_t*>(begin)[col / 8];
      const int q = static_cast<int>(word >> (kInt4Shifts >> (col % 8 * 8) & 31U) & 15U) - 8;
      return group_scale(weight, row, col) * static_cast<float>(q);
    }
    case WeightEncoding::kInt8Group32:
      return group_scale(weight, row, col) * static_cast<float>(reinterpret_cast<const std::int8_t*>(begin)[col]);
    case WeightEncoding::kFp8PerRow: {
      float values[4];
      unpack_e4m3(static_cast<std::uint32_t>(begin[col]), values);
      return weight.row_scales[row] * values[0];
    }
    case WeightEncoding::kFp8Group128:
    case WeightEncoding::kInt4Group32Zero:
    case WeightEncoding::kMxfp4Group32:
    case WeightEncoding::kQ4K:
    case WeightEncoding::kQ5K:
    case WeightEncoding::kQ6K:
      break;  // refused by Weights::prepare()
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

/// Host code: calls call.template operator()<encoding>() for the weight's encoding.
template <typename Call>
auto with_encoding(WeightEncoding encoding, const Call& call) {
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
    case WeightEncoding::kInt4Group32:
    case WeightEncoding::kFp8Group128:  // these are refused by Weights::prepare()
    case WeightEncoding::kInt4Group32Zero:
    case WeightEncoding::kMxfp4Group32:
    case WeightEncoding::kQ4K:
    case WeightEncoding::kQ5K:
    case WeightEncoding::kQ6K:
      break;
  }
  return call.template operator()<WeightEncoding::kInt4Group32>();
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
