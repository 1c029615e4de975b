// Decodes prepared weights of every encoding (gpu/kernels/kernels.h: WeightView, BlockRow, kInt4Shifts, kE2m1Shifts). The encoding is the
// specialization constant 0, so that a pipeline has the instructions of one encoding alone.
//
// Eight neighbouring columns share their scales in every encoding, so a weight is read eight columns at a time:
//
//   w[row, col] = (scale * code[col] - minimum) * row_scale(row)
//
// Every code is exact in f32. GPUs convert integers at a fraction of the rate of additions. Integer codes are therefore written into the
// low mantissa bits of 2^23, whose last mantissa bit is worth 1, and 2^23 is subtracted. FP16 and E4M3 numbers are widened by integer
// arithmetic as well, because a device may flush the subnormal ones, which scales may be.
//
// Alignment  rows of the weight to 16 bytes, each of them padded to a multiple of 32 columns with codes of 0

layout(constant_id = 0) const int kEncoding = kEncodingBf16;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer WeightWords { uvec2 at[]; };

const bool kHasInt8Codes = kEncoding == kEncodingInt8 || kEncoding == kEncodingInt8Group;
const bool kHasE4m3Codes = kEncoding == kEncodingFp8 || kEncoding == kEncodingFp8Group;
const bool kHasInt4Codes = kEncoding == kEncodingInt4 || kEncoding == kEncodingInt4Zero;
const bool kHasE2m1Codes = kEncoding == kEncodingMxfp4 || kEncoding == kEncodingNvfp4;
const bool kHasBlocks = kEncoding >= kEncodingQ2K && kEncoding <= kEncodingIq4Nl;
const bool kHasRowScales = kEncoding == kEncodingInt8 || kEncoding == kEncodingFp8 || kEncoding == kEncodingNvfp4;
/// Whether row_scales are powers of two by which tiles of FP16 divide the values of a row, and which multiply its sums.
const bool kHasRowPowers = !kHasRowScales;
/// Whether there are scales besides those of rows.
const bool kHasGroupScales =
    kEncoding == kEncodingInt8Group || kEncoding == kEncodingFp8Group || kHasInt4Codes || kHasE2m1Codes || kHasBlocks;

// BlockCodes of kernels.h.
const bool kHasTwoLowBits = kEncoding == kEncodingQ2K || kEncoding == kEncodingQ3K;
const bool kHasOneHighBit =
    kEncoding == kEncodingQ3K || kEncoding == kEncodingQ5K || kEncoding == kEncodingQ50 || kEncoding == kEncodingQ51;
const bool kHasHighBits = kHasOneHighBit || kEncoding == kEncodingQ6K;
const bool kHasShortParts = kHasTwoLowBits || kEncoding == kEncodingQ6K;  ///< of 16 columns, not of 32
const bool kIsOnCurve = kEncoding == kEncodingIq4Xs || kEncoding == kEncodingIq4Nl;
const bool kHasMinima = kEncoding == kEncodingQ2K || kEncoding == kEncodingQ4K || kEncoding == kEncodingQ5K ||
                        kEncoding == kEncodingQ41 || kEncoding == kEncodingQ51;

/// 2^23 plus a whole number of up to 23 bits, as the bits of an f32.
const uint kTwoTo23Bits = 0x4b000000u;
const float kTwoTo23 = 8388608.0;

/// An FP16 number in the low half of `bits`, exactly.
float exact_f16(uint bits) {
  const uint magnitude = bits & 0x7fffu;
  // Subnormal numbers get the exponent of 2^-14 and the first bit that comes with it, which is subtracted again.
  const float number = magnitude < 0x400u ? uintBitsToFloat(0x38800000u + (magnitude << 13)) - 6.103515625e-05
                       : magnitude < 0x7c00u ? uintBitsToFloat(0x38000000u + (magnitude << 13))
                                             : uintBitsToFloat(0x70000000u + (magnitude << 13));
  return uintBitsToFloat(floatBitsToUint(number) | (bits & 0x8000u) << 16);
}

/// The E4M3 number in the low byte of `bits`, exactly; NaN for the codes 0x7f and 0xff.
float exact_e4m3(uint bits) {
  const uint magnitude = bits & 0x7fu;
  const float number = magnitude < 8u       ? uintBitsToFloat(0x3c800000u + (magnitude << 20)) - 0.015625
                       : magnitude != 0x7fu ? uintBitsToFloat(0x3c000000u + (magnitude << 20))
                                            : uintBitsToFloat(0x7fc00000u);
  return uintBitsToFloat(floatBitsToUint(number) | (bits & 0x80u) << 24);
}

/// The power of two of an E8M0 code; NaN for the code 255.
float exact_e8m0(uint code) {
  return uintBitsToFloat(code == 0u ? 0x00400000u : code == 0xffu ? 0x7fc00000u : code << 23);
}

/// Twice the magnitudes of the E2M1 codes 0 to 7, four bits each: 0, 1, 2, 3, 4, 6, 8, 12.
const uint kE2m1Doubled = 0xc8643210u;

/// The E2M1 numbers of a word, stored as kE2m1Shifts says.
void e2m1_codes(uint word, out float codes[8]) {
  // Signs of the two columns of a pair are 16 bits apart, as are their numbers.
  const int sign_at[4] = int[4](15, 12, 14, 13);
  [[unroll]] for (int i = 0; i < 8; ++i) {
    const int pair = i / 2;
    const int place = i % 2 * 16;
    const uint number = word >> (9 - 3 * pair + place) & 7u;
    const uint sign = word >> (sign_at[pair] + place) << 31;
    // The last mantissa bit of 2^22 is worth 0.5.
    const float magnitude = uintBitsToFloat(0x4a800000u | (kE2m1Doubled >> (number * 4u) & 15u)) - 4194304.0;
    codes[i] = uintBitsToFloat(floatBitsToUint(magnitude) | sign);
  }
}

/// Numbers of core/four_bit_curve.h plus 128, four in a word.
const uint kCurve0 = 1u | 24u << 8 | 45u << 16 | 63u << 24;
const uint kCurve4 = 79u | 93u << 8 | 106u << 16 | 118u << 24;
const uint kCurve8 = 129u | 141u << 8 | 153u << 16 | 166u << 24;
const uint kCurve12 = 181u | 197u << 8 | 217u << 16 | 241u << 24;

float curve_number(uint index) {
  const uint four = index < 8u ? (index < 4u ? kCurve0 : kCurve4) : (index < 12u ? kCurve8 : kCurve12);
  return uintBitsToFloat(kTwoTo23Bits | (four >> ((index & 3u) * 8u) & 0xffu)) - (kTwoTo23 + 128.0);
}

/// Where a row begins.
uint64_t weight_row(Weight w, int row) { return w.values + uint64_t(row) * uint64_t(w.row_bytes); }

/// The scale of a whole row; 1 where there is none.
float row_scale(Weight w, int row) { return kHasRowScales ? F32(w.row_scales).at[row] : 1.0; }

/// The scale of the group of columns that `col` lies in; 1 where there are no groups. Not for blocks of GGUF.
float group_scale(Weight w, int row, int col) {
  if (kEncoding == kEncodingFp8Group) {
    const int n_groups = (w.n_cols + 127) / 128;
    return F32(w.wide_scales + uint64_t(row) * uint64_t(n_groups) * 4).at[col / 128];
  }
  const uint64_t groups_before = uint64_t(row) * uint64_t(w.padded_cols / 32);
  if (kEncoding == kEncodingMxfp4) return exact_e8m0(uint(U8(w.group_powers + groups_before).at[col / 32]));
  if (kEncoding == kEncodingNvfp4) {
    const uint pair = uint(U16(w.scale_pairs + groups_before * 2).at[col / 32]);
    return exact_e4m3(pair >> (col % 32 / 16 * 8));
  }
  if (kEncoding == kEncodingInt8Group || kHasInt4Codes) {
    return exact_f16(uint(U16(w.group_scales + groups_before * 2).at[col / 32]));
  }
  return 1.0;
}

/// Codes, scale and minimum of eight columns of a row in blocks.
void block_eight(Weight w, int row, int first_col, out float codes[8], out float scale, out float minimum) {
  const uint64_t begin = weight_row(w, row);
  const int eight = first_col / 8;
  const int low_bits = kHasTwoLowBits ? 2 : 4;
  const int high_bits = kHasOneHighBit ? 1 : 2;
  const uint low = U32(begin).at[low_bits * eight / 4] >> (low_bits * eight * 4 % 16);
  uint high = 0u;
  if (kHasHighBits) high = U32(begin + uint64_t(w.high_at)).at[high_bits * eight / 4] >> (high_bits * eight * 4 % 16);
  const float zero = kEncoding == kEncodingQ3K ? 4.0 : kEncoding == kEncodingQ50 ? 16.0 : kEncoding == kEncodingQ6K ? 32.0 : 0.0;
  [[unroll]] for (int i = 0; i < 8; ++i) {
    const int pair = i / 2;
    const int place = i % 2 * 16;
    uint code = low >> (low_bits * pair + place) & ((1u << low_bits) - 1u);
    if (kHasHighBits) code |= (high >> (high_bits * pair + place) & ((1u << high_bits) - 1u)) << low_bits;
    codes[i] = kIsOnCurve ? curve_number(code) : uintBitsToFloat(kTwoTo23Bits | code) - (kTwoTo23 + zero);
  }
  const int n_units = kHasMinima ? 2 : 1;
  const int unit = (eight >> (w.block_cols_log2 - 3)) * n_units;
  const int part = w.has_parts != 0 ? eight >> (kHasShortParts ? 1 : 2) : 0;
  const uint64_t units_begin = begin + uint64_t(w.units_at);
  scale = exact_f16(uint(U16(units_begin).at[unit])) * float(int(I8(begin + uint64_t(w.scales_at)).at[part]));
  minimum = 0.0;
  if (kHasMinima) {
    minimum = exact_f16(uint(U16(units_begin).at[unit + 1])) * float(uint(U8(begin + uint64_t(w.minima_at)).at[part]));
  }
}

/// The columns [first_col, first_col + 8) of a row, as the formula at the beginning of this file has them: without the scale of the row.
/// first_col is a multiple of 8 below padded_cols. `scale` is 1 and `minimum` is 0 where there is none; a kernel that must not multiply
/// them with infinities tests kHasGroupScales and kHasMinima.
void weight_parts(Weight w, int row, int first_col, out float codes[8], out float scale, out float minimum) {
  scale = 1.0;
  minimum = 0.0;
  if (kHasBlocks) {
    block_eight(w, row, first_col, codes, scale, minimum);
    return;
  }
  const uint64_t begin = weight_row(w, row);
  if (kHasGroupScales) scale = group_scale(w, row, first_col);
  if (kEncoding == kEncodingF32) {
    const uvec4 first = U32x4(begin).at[first_col / 4];
    const uvec4 second = U32x4(begin).at[first_col / 4 + 1];
    [[unroll]] for (int i = 0; i < 4; ++i) {
      codes[i] = uintBitsToFloat(first[i]);
      codes[4 + i] = uintBitsToFloat(second[i]);
    }
  } else if (kEncoding == kEncodingBf16) {
    const uvec4 words = U32x4(begin).at[first_col / 8];
    [[unroll]] for (int i = 0; i < 4; ++i) {
      codes[2 * i] = uintBitsToFloat(words[i] << 16);
      codes[2 * i + 1] = uintBitsToFloat(words[i] & 0xffff0000u);
    }
  } else if (kEncoding == kEncodingF16) {
    const uvec4 words = U32x4(begin).at[first_col / 8];
    [[unroll]] for (int i = 0; i < 4; ++i) {
      codes[2 * i] = exact_f16(words[i]);
      codes[2 * i + 1] = exact_f16(words[i] >> 16);
    }
  } else if (kHasInt8Codes) {
    const uvec2 words = WeightWords(begin).at[first_col / 8] ^ 0x80808080u;  // codes + 128
    [[unroll]] for (int i = 0; i < 8; ++i) {
      codes[i] = uintBitsToFloat(kTwoTo23Bits | (words[i / 4] >> (i % 4 * 8) & 0xffu)) - (kTwoTo23 + 128.0);
    }
  } else if (kHasE4m3Codes) {
    const uvec2 words = WeightWords(begin).at[first_col / 8];
    [[unroll]] for (int i = 0; i < 8; ++i) codes[i] = exact_e4m3(words[i / 4] >> (i % 4 * 8));
  } else if (kHasInt4Codes) {
    const uint word = U32(begin).at[first_col / 8];
    float zero = 8.0;
    if (kEncoding == kEncodingInt4Zero) {
      const uint64_t groups_before = uint64_t(row) * uint64_t(w.padded_cols / 32);
      zero = float(uint(U8(w.group_zeros + groups_before).at[first_col / 32]));
    }
    [[unroll]] for (int i = 0; i < 8; ++i) {  // kInt4Shifts
      codes[i] = uintBitsToFloat(kTwoTo23Bits | (word >> (i / 2 * 4 + i % 2 * 16) & 15u)) - (kTwoTo23 + zero);
    }
  } else {
    e2m1_codes(U32(begin).at[first_col / 8], codes);
  }
}

/// The same values with every scale but that of the row.
void weight_eight_without_row_scale(Weight w, int row, int first_col, out float values[8]) {
  float scale;
  float minimum;
  weight_parts(w, row, first_col, values, scale, minimum);
  if (kHasGroupScales) {
    [[unroll]] for (int i = 0; i < 8; ++i) values[i] *= scale;
  }
  if (kHasMinima) {
    [[unroll]] for (int i = 0; i < 8; ++i) values[i] -= minimum;
  }
}

/// The same values with every scale.
void weight_eight(Weight w, int row, int first_col, out float values[8]) {
  weight_eight_without_row_scale(w, row, first_col, values);
  if (kHasRowScales) {
    const float scale = row_scale(w, row);
    [[unroll]] for (int i = 0; i < 8; ++i) values[i] *= scale;
  }
}
