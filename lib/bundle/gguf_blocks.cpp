#include "bundle/gguf_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <string>

#include "core/check.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/four_bit_curve.h"
#include "core/half.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr int kSmallBlock = 32;   // values of a block of the simple types
constexpr int kSuperBlock = 256;  // values of a block of the k-types, QK_K in ggml

/// The unsigned byte at an offset.
int byte_at(const std::byte* bytes, int offset) {
  return std::to_integer<int>(bytes[offset]);
}
int signed_at(const std::byte* bytes, int offset) {
  return static_cast<std::int8_t>(byte_at(bytes, offset));
}
template <typename T>
T little_endian(const std::byte* bytes) {
  static_assert(std::endian::native == std::endian::little);
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}
float half_at(const std::byte* bytes, int offset) {
  return to_float(F16{little_endian<std::uint16_t>(bytes + offset)});
}

// Values as they are.

void plain_f32(const std::byte* block, float* values) {
  *values = little_endian<float>(block);
}
void plain_f16(const std::byte* block, float* values) {
  *values = half_at(block, 0);
}
void plain_bf16(const std::byte* block, float* values) {
  *values = to_float(Bf16{little_endian<std::uint16_t>(block)});
}

// Blocks of 32. The low halves of 16 bytes are values 0 to 15, the high halves values 16 to 31.

int nibble(const std::byte* bytes, int value) {
  return value < 16 ? byte_at(bytes, value) & 15 : byte_at(bytes, value - 16) >> 4;
}

void blocks_q4_0(const std::byte* block, float* values) {
  const float scale = half_at(block, 0);
  for (int i = 0; i < kSmallBlock; ++i) values[i] = scale * static_cast<float>(nibble(block + 2, i) - 8);
}

void blocks_q4_1(const std::byte* block, float* values) {
  const float scale = half_at(block, 0);
  const float least = half_at(block, 2);
  for (int i = 0; i < kSmallBlock; ++i) values[i] = scale * static_cast<float>(nibble(block + 4, i)) + least;
}

/// A value of 5 bits, of which the highest ones are in a word of their own.
int five_bits(const std::byte* high, const std::byte* low, int value) {
  const auto bits = little_endian<std::uint32_t>(high);
  return nibble(low, value) | static_cast<int>((bits >> value) & 1U) << 4;
}

void blocks_q5_0(const std::byte* block, float* values) {
  const float scale = half_at(block, 0);
  for (int i = 0; i < kSmallBlock; ++i) values[i] = scale * static_cast<float>(five_bits(block + 2, block + 6, i) - 16);
}

void blocks_q5_1(const std::byte* block, float* values) {
  const float scale = half_at(block, 0);
  const float least = half_at(block, 2);
  for (int i = 0; i < kSmallBlock; ++i) {
    values[i] = scale * static_cast<float>(five_bits(block + 4, block + 8, i)) + least;
  }
}

void blocks_q8_0(const std::byte* block, float* values) {
  const float scale = half_at(block, 0);
  for (int i = 0; i < kSmallBlock; ++i) values[i] = scale * static_cast<float>(signed_at(block, 2 + i));
}

/// The entry of kFourBitCurve that a value's four bits select.
int on_curve(const std::byte* bytes, int value) {
  return kFourBitCurve[static_cast<std::size_t>(nibble(bytes, value))];
}

void blocks_iq4_nl(const std::byte* block, float* values) {
  const float scale = half_at(block, 0);
  for (int i = 0; i < kSmallBlock; ++i) values[i] = scale * static_cast<float>(on_curve(block + 2, i));
}

/// E2M1 numbers times 2; the scale is halved to compensate.
constexpr std::array<float, 16> kE2m1Doubled = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void blocks_mxfp4(const std::byte* block, float* values) {
  const auto exponent = static_cast<std::uint32_t>(byte_at(block, 0));
  const std::uint32_t bits = exponent < 2 ? 0x00200000U << exponent : (exponent - 1) << 23;  // half of 2^(e - 127)
  const auto scale = std::bit_cast<float>(bits);
  for (int i = 0; i < kSmallBlock; ++i) {
    values[i] = scale * kE2m1Doubled[static_cast<std::size_t>(nibble(block + 1, i))];
  }
}

// Blocks of 64 values in four parts of 16. The scales of the parts come first, then eight bytes of codes for each part.

constexpr int kNvfp4Block = 64;
constexpr int kNvfp4Part = 16;

/// The code of a value: of each part, the low halves of its bytes are values 0 to 7, the high halves values 8 to 15.
int nvfp4_code(const std::byte* block, int value) {
  const int in_part = value % kNvfp4Part;
  const int byte = byte_at(block, 4 + value / kNvfp4Part * 8 + in_part % 8);
  return in_part < 8 ? byte & 15 : byte >> 4;
}

/// The scale of a part: an E4M3 number whose sign ggml ignores. 0x7f, which is NaN in E4M3, counts as 0 there, and 0xff as the 480 that
/// its bits would be if they were a number.
float nvfp4_scale(const std::byte* block, int part) {
  const int bits = byte_at(block, part);
  if (bits == 0x7f) return 0.0F;
  if (bits == 0xff) return 480.0F;
  return to_float(E4m3{static_cast<std::uint8_t>(bits & 0x7f)});
}

void blocks_nvfp4(const std::byte* block, float* values) {
  for (int i = 0; i < kNvfp4Block; ++i) {
    const float scale = 0.5F * nvfp4_scale(block, i / kNvfp4Part);
    values[i] = scale * kE2m1Doubled[static_cast<std::size_t>(nvfp4_code(block, i))];
  }
}

// Blocks of 256 values, whose parts have scales that are integers, too.

/// Value i of 2 bits, in halves of 128 values: each byte has values that are 32 apart.
int two_bits(const std::byte* bytes, int value) {
  return byte_at(bytes, value / 128 * 32 + value % 32) >> (value % 128 / 32 * 2) & 3;
}

void blocks_q2_k(const std::byte* block, float* values) {
  const std::byte* codes = block + 16;
  const float scale = half_at(block, 80);
  const float least = half_at(block, 82);
  for (int part = 0; part < kSuperBlock / 16; ++part) {
    const float part_scale = scale * static_cast<float>(byte_at(block, part) & 15);
    const float part_least = least * static_cast<float>(byte_at(block, part) >> 4);
    for (int i = 16 * part; i < 16 * part + 16; ++i) {
      values[i] = part_scale * static_cast<float>(two_bits(codes, i)) - part_least;
    }
  }
}

/// Code i of three bits, minus 4. The high bits are bit j of byte i for value 32 j + i: where it is set, 4 is not
/// subtracted.
int q3_k_code(const std::byte* block, int i) {
  const int lowered = (byte_at(block, i % 32) >> (i / 32) & 1) != 0 ? 0 : 4;
  return two_bits(block + 32, i) - lowered;
}

/// The scale of a part as an integer: 16 of 6 bits each, their four low bits in 8 bytes and their two high bits in 4.
int q3_k_part(const std::byte* block, int part) {
  const std::byte* const parts = block + 96;
  const int low_bits = byte_at(parts, part % 8) >> (part / 8 * 4) & 15;
  const int high_bits = byte_at(parts, 8 + part % 4) >> (part / 4 * 2) & 3;
  return (low_bits | high_bits << 4) - 32;
}

void blocks_q3_k(const std::byte* block, float* values) {
  const float scale = half_at(block, 108);
  for (int part = 0; part < kSuperBlock / 16; ++part) {
    const float part_scale = scale * static_cast<float>(q3_k_part(block, part));
    for (int i = 16 * part; i < 16 * part + 16; ++i) values[i] = part_scale * static_cast<float>(q3_k_code(block, i));
  }
}

struct ScaleAndLeast {
  float scale;
  float least;
};

/// The integer scale and minimum of one part of 32 values: 12 bytes hold eight pairs of 6 bits.
ScaleAndLeast whole_parts_of_k(const std::byte* packed, int part) {
  int part_scale = byte_at(packed, part % 4) & 63;
  int part_least = byte_at(packed, 4 + part % 4) & 63;
  if (part >= 4) {
    const int low_bits = byte_at(packed, 4 + part);
    part_scale = (low_bits & 15) | byte_at(packed, part - 4) >> 6 << 4;
    part_least = low_bits >> 4 | byte_at(packed, part) >> 6 << 4;
  }
  return {static_cast<float>(part_scale), static_cast<float>(part_least)};
}

ScaleAndLeast part_of_k(const std::byte* packed, int part, float scale, float least) {
  const ScaleAndLeast whole = whole_parts_of_k(packed, part);
  return {scale * whole.scale, least * whole.least};
}

/// Value i of 4 bits, in parts of 64: low halves of 32 bytes, then the high ones.
int nibble_of_64(const std::byte* bytes, int value) {
  return byte_at(bytes, value / 64 * 32 + value % 32) >> (value % 64 / 32 * 4) & 15;
}

void blocks_q4_k(const std::byte* block, float* values) {
  const std::byte* codes = block + 16;
  for (int begin = 0; begin < kSuperBlock; begin += 32) {
    const ScaleAndLeast part = part_of_k(block + 4, begin / 32, half_at(block, 0), half_at(block, 2));
    for (int i = begin; i < begin + 32; ++i) {
      values[i] = part.scale * static_cast<float>(nibble_of_64(codes, i)) - part.least;
    }
  }
}

/// Code i of five bits.
int q5_k_code(const std::byte* block, int i) {
  return nibble_of_64(block + 48, i) | (byte_at(block + 16, i % 32) >> (i / 32) & 1) << 4;
}

void blocks_q5_k(const std::byte* block, float* values) {
  for (int begin = 0; begin < kSuperBlock; begin += 32) {
    const ScaleAndLeast part = part_of_k(block + 4, begin / 32, half_at(block, 0), half_at(block, 2));
    for (int i = begin; i < begin + 32; ++i) {
      values[i] = part.scale * static_cast<float>(q5_k_code(block, i)) - part.least;
    }
  }
}

/// Code i of six bits, less 32.
int q6_k_code(const std::byte* block, int i) {
  const int low_bits = byte_at(block, i / 128 * 64 + i % 64) >> (i % 128 / 64 * 4) & 15;
  return (low_bits | two_bits(block + 128, i) << 4) - 32;
}

void blocks_q6_k(const std::byte* block, float* values) {
  const float scale = half_at(block, 208);
  for (int part = 0; part < kSuperBlock / 16; ++part) {
    const float part_scale = scale * static_cast<float>(signed_at(block, 192 + part));
    for (int i = 16 * part; i < 16 * part + 16; ++i) {
      values[i] = part_scale * static_cast<float>(q6_k_code(block, i));
    }
  }
}

/// The scale of a part as an integer: 8 of 6 bits each, their four low bits in 4 bytes and their two high bits in 2.
int iq4_xs_part(const std::byte* block, int part) {
  const auto high = little_endian<std::uint16_t>(block + 2);
  const int low_bits = byte_at(block, 4 + part / 2) >> (part % 2 * 4) & 15;
  return (low_bits | (high >> (2 * part) & 3) << 4) - 32;
}

int iq4_xs_code(const std::byte* block, int i) {
  return on_curve(block + 8 + 16 * (i / kSmallBlock), i % kSmallBlock);
}

void blocks_iq4_xs(const std::byte* block, float* values) {
  const float scale = half_at(block, 0);
  for (int part = 0; part < kSuperBlock / kSmallBlock; ++part) {
    const float part_scale = scale * static_cast<float>(iq4_xs_part(block, part));
    for (int i = kSmallBlock * part; i < kSmallBlock * (part + 1); ++i) {
      values[i] = part_scale * static_cast<float>(iq4_xs_code(block, i));
    }
  }
}

constexpr std::array kFormats = {
    GgufBlockFormat{"F32", 1, 4, plain_f32},
    GgufBlockFormat{"F16", 1, 2, plain_f16},
    GgufBlockFormat{"BF16", 1, 2, plain_bf16},
    GgufBlockFormat{"Q4_0", 32, 18, blocks_q4_0},
    GgufBlockFormat{"Q4_1", 32, 20, blocks_q4_1},
    GgufBlockFormat{"Q5_0", 32, 22, blocks_q5_0},
    GgufBlockFormat{"Q5_1", 32, 24, blocks_q5_1},
    GgufBlockFormat{"Q8_0", 32, 34, blocks_q8_0},
    GgufBlockFormat{"Q2_K", 256, 84, blocks_q2_k},
    GgufBlockFormat{"Q3_K", 256, 110, blocks_q3_k},
    GgufBlockFormat{"Q4_K", 256, 144, blocks_q4_k},
    GgufBlockFormat{"Q5_K", 256, 176, blocks_q5_k},
    GgufBlockFormat{"Q6_K", 256, 210, blocks_q6_k},
    GgufBlockFormat{"IQ4_NL", 32, 18, blocks_iq4_nl},
    GgufBlockFormat{"IQ4_XS", 256, 136, blocks_iq4_xs},
    GgufBlockFormat{"MXFP4", 32, 17, blocks_mxfp4},
    GgufBlockFormat{"NVFP4", 64, 36, blocks_nvfp4},
};

}  // namespace

std::optional<WeightEncoding> encoding_of_codes(const GgufBlockFormat& format) {
  if (format.dequantize == blocks_q4_0) return WeightEncoding::kInt4Group32;
  if (format.dequantize == blocks_q8_0) return WeightEncoding::kInt8Group32;
  if (format.dequantize == blocks_mxfp4) return WeightEncoding::kMxfp4Group32;
  if (format.dequantize == blocks_nvfp4) return WeightEncoding::kNvfp4Group16;
  if (format.dequantize == blocks_q2_k) return WeightEncoding::kQ2K;
  if (format.dequantize == blocks_q3_k) return WeightEncoding::kQ3K;
  if (format.dequantize == blocks_q4_k) return WeightEncoding::kQ4K;
  if (format.dequantize == blocks_q5_k) return WeightEncoding::kQ5K;
  if (format.dequantize == blocks_q6_k) return WeightEncoding::kQ6K;
  if (format.dequantize == blocks_iq4_xs) return WeightEncoding::kIq4Xs;
  if (format.dequantize == blocks_q4_1) return WeightEncoding::kQ41;
  if (format.dequantize == blocks_q5_0) return WeightEncoding::kQ50;
  if (format.dequantize == blocks_q5_1) return WeightEncoding::kQ51;
  if (format.dequantize == blocks_iq4_nl) return WeightEncoding::kIq4Nl;
  return std::nullopt;
}

void codes_of_gguf_block(const GgufBlockFormat& format, const std::byte* block, std::span<std::int8_t> codes,
                         std::span<float> scales) {
  const std::optional<WeightEncoding> encoding = encoding_of_codes(format);
  SS_CHECK(encoding && !has_blocks(*encoding), "a block of Q4_0, Q8_0, MXFP4 or NVFP4");
  SS_CHECK(codes.size() == format.block_values, "codes: wrong size");
  SS_CHECK(static_cast<std::int64_t>(scales.size()) * group_columns(*encoding) == std::ssize(codes),
           "scales: wrong size");
  const auto code_of = [&](int i) {
    if (encoding == WeightEncoding::kNvfp4Group16) return nvfp4_code(block, i);
    if (encoding == WeightEncoding::kMxfp4Group32) return nibble(block + 1, i);
    return encoding == WeightEncoding::kInt8Group32 ? signed_at(block, 2 + i) : nibble(block + 2, i) - 8;
  };
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::int8_t>(code_of(static_cast<int>(i)));
  if (encoding == WeightEncoding::kNvfp4Group16) {
    for (std::size_t part = 0; part < scales.size(); ++part) {
      const float scale = nvfp4_scale(block, static_cast<int>(part));
      scales[part] = scale <= kE4m3Max ? scale : std::numeric_limits<float>::quiet_NaN();
    }
    return;
  }
  scales[0] = encoding == WeightEncoding::kMxfp4Group32 ? to_float(E8m0{static_cast<std::uint8_t>(byte_at(block, 0))})
                                                        : half_at(block, 0);
}

namespace {

/// Code i of a block, as WeightEncoding passes it.
int code_of(WeightEncoding encoding, const std::byte* block, int i) {
  switch (encoding) {
    case WeightEncoding::kQ2K:
      return two_bits(block + 16, i);
    case WeightEncoding::kQ3K:
      return q3_k_code(block, i);
    case WeightEncoding::kQ4K:
      return nibble_of_64(block + 16, i);
    case WeightEncoding::kQ5K:
      return q5_k_code(block, i);
    case WeightEncoding::kQ6K:
      return q6_k_code(block, i);
    case WeightEncoding::kIq4Xs:
      return iq4_xs_code(block, i);
    case WeightEncoding::kQ41:
      return nibble(block + 4, i);
    case WeightEncoding::kQ50:
      return five_bits(block + 2, block + 6, i) - 16;
    case WeightEncoding::kQ51:
      return five_bits(block + 4, block + 8, i);
    case WeightEncoding::kIq4Nl:
      return on_curve(block + 2, i);
    default:
      SS_CHECK(false, "code_of: an encoding in blocks");
      return 0;
  }
}

/// The FP16 numbers of a block: d, and dmin where there are minima.
ScaleAndLeast units_of(WeightEncoding encoding, const std::byte* block) {
  switch (encoding) {
    case WeightEncoding::kQ2K:
      return {half_at(block, 80), half_at(block, 82)};
    case WeightEncoding::kQ3K:
      return {half_at(block, 108), 0.0F};
    case WeightEncoding::kQ6K:
      return {half_at(block, 208), 0.0F};
    case WeightEncoding::kQ41:
    case WeightEncoding::kQ51:
      return {half_at(block, 0), -half_at(block, 2)};
    case WeightEncoding::kQ4K:
    case WeightEncoding::kQ5K:
      return {half_at(block, 0), half_at(block, 2)};
    default:
      return {half_at(block, 0), 0.0F};
  }
}

/// The integer scale and minimum of a part of a block.
ScaleAndLeast whole_numbers_of(WeightEncoding encoding, const std::byte* block, int part) {
  switch (encoding) {
    case WeightEncoding::kQ2K:
      return {static_cast<float>(byte_at(block, part) & 15), static_cast<float>(byte_at(block, part) >> 4)};
    case WeightEncoding::kQ3K:
      return {static_cast<float>(q3_k_part(block, part)), 0.0F};
    case WeightEncoding::kQ6K:
      return {static_cast<float>(signed_at(block, 192 + part)), 0.0F};
    case WeightEncoding::kIq4Xs:
      return {static_cast<float>(iq4_xs_part(block, part)), 0.0F};
    default:
      return whole_parts_of_k(block + 4, part);
  }
}

}  // namespace

void parts_of_block(WeightEncoding encoding, const std::byte* block, std::span<std::byte> codes,
                    std::span<float> floats) {
  const BlockForm form = block_form(encoding);
  const auto n_units = static_cast<std::size_t>(form.n_units());
  const auto n_parts = static_cast<std::size_t>(form.n_parts());
  SS_CHECK(static_cast<std::int64_t>(codes.size()) == form.n_cols, "room for a block's codes");
  SS_CHECK(static_cast<std::int64_t>(floats.size()) == form.n_floats(), "room for a block's scales");
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<std::byte>(static_cast<std::int8_t>(code_of(encoding, block, static_cast<int>(i))));
  }
  const ScaleAndLeast units = units_of(encoding, block);
  floats[0] = units.scale;
  if (form.has_minima) floats[1] = units.least;
  for (std::size_t part = 0; part < n_parts; ++part) {
    const ScaleAndLeast whole = whole_numbers_of(encoding, block, static_cast<int>(part));
    floats[n_units + part] = whole.scale;
    if (form.has_minima) floats[n_units + n_parts + part] = whole.least;
  }
}

std::span<const GgufBlockFormat> gguf_block_formats() {
  return kFormats;
}

Result<const GgufBlockFormat*> gguf_block_format(std::string_view type_name) {
  const auto* found = std::ranges::find(kFormats, type_name, &GgufBlockFormat::name);
  if (found != kFormats.end()) return found;
  std::string names;
  for (const GgufBlockFormat& format : kFormats) names.append(names.empty() ? "" : ", ").append(format.name);
  return Error{ErrorCode::kUnsupported, fmt::format("expected one of {}; found {}", names, printable(type_name))};
}

void dequantize_blocks(const GgufBlockFormat& format, std::span<const std::byte> blocks, std::span<float> values) {
  const std::size_t n_blocks = blocks.size() / format.block_bytes;
  SS_CHECK(blocks.size() == n_blocks * format.block_bytes && values.size() == n_blocks * format.block_values,
           "whole blocks, and room for their values");
  for (std::size_t i = 0; i < n_blocks; ++i) {
    format.dequantize(blocks.data() + i * format.block_bytes, values.data() + i * format.block_values);
  }
}

}  // namespace secondsource
