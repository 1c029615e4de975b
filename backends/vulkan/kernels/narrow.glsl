// What the kernels that round activations to narrower types (gpu/kernels/rows.cpp) have in common: the largest magnitude of a row, scales,
// and rounding to E4M3, E2M1 and FP16, all to nearest even (core/e4m3.h, core/e2m1.h, core/half.h). Magnitudes are compared as the bits of
// f32 numbers, which have the order of the numbers, with NaN above all of them. So subnormal numbers count on every device.

#include "division.glsl"
#include "tree_reduction.glsl"

const int kVecValues = 8;  // of a thread at a time: 16 bytes of 16-bit values

/// The number of a row for each workgroup: grids are two-dimensional, because one dimension has 65535 workgroups at most.
int row_of_workgroup() { return int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x); }

uint magnitude_of(float value) { return floatBitsToUint(value) & 0x7fffffffu; }

shared uint magnitude_scratch[gl_WorkGroupSize.x];

/// The largest of the threads' numbers.
TREE_REDUCTION(largest_in_workgroup, uint, magnitude_scratch, max)

/// The bits of max|x| over the row at address `x`, of which NaN is the largest. Every thread of the workgroup must call it.
uint largest_of_row(uint64_t x, int n_cols) {
  uint largest = 0u;
  for (int i = int(gl_LocalInvocationID.x); i < n_cols; i += int(gl_WorkGroupSize.x)) {
    largest = max(largest, U32(x).at[i] & 0x7fffffffu);
  }
  return largest_in_workgroup(largest);
}

/// The stored scale, or NaN for a row that is not finite.
float scale_or_nan(float stored_scale, uint largest) { return largest < kInfinityBits ? stored_scale : uintBitsToFloat(kNanBits); }

/// Whether values can be divided by the scale of their row; else their codes are 0, and the scale of 0, infinity or NaN decides the
/// product.
bool is_usable_scale(float scale) { return floatBitsToUint(scale) - 1u < kInfinityBits - 1u; }

/// Values [col, col + 8) of a row; zeros past its end.
void load_values(uint64_t x, int col, int n_cols, out float values[kVecValues]) {
  [[unroll]] for (int i = 0; i < kVecValues; ++i) values[i] = col + i < n_cols ? F32(x).at[col + i] : 0.0;
}

/// Stores eight 16-bit values from column `col` on, a multiple of 8, in the row at the address `row`.
void store_words(uint64_t row, int col, uint words[kVecValues]) {
  U32x4(row).at[col / kVecValues] = uvec4(words[0] | words[1] << 16, words[2] | words[3] << 16, words[4] | words[5] << 16,
                                          words[6] | words[7] << 16);
}

void store_bf16(uint64_t row, int col, float values[kVecValues]) {
  uint words[kVecValues];
  [[unroll]] for (int i = 0; i < kVecValues; ++i) words[i] = bf16_bits(values[i]);
  store_words(row, col, words);
}

/// Rounds the bits of a number to nearest even, such that the last `n` of them are 0.
uint rounded_bits(uint bits, int n) {
  const uint half_unit = 1u << (n - 1);
  return (bits + half_unit - 1u + (bits >> n & 1u)) & ~(2u * half_unit - 1u);
}

/// The nearest E4M3 number of a number, at most 448 in magnitude: three bits behind the first, and multiples of 2^-9 below 2^-6.
float nearest_e4m3(float value) {
  const uint bits = floatBitsToUint(value);
  const uint capped = min(bits & 0x7fffffffu, 0x43e00000u);  // 448
  const uint normal = rounded_bits(capped, 20);
  const uint small = floatBitsToUint(roundEven(uintBitsToFloat(capped) * 512.0) * (1.0 / 512.0));
  return uintBitsToFloat((bits & 0x80000000u) | (capped >= 0x3c800000u ? normal : small));
}

/// The nearest E2M1 number of a number, at most 6 in magnitude: one bit behind the first, and multiples of 0.5 below 1.
float nearest_e2m1(float value) {
  const uint bits = floatBitsToUint(value);
  const uint capped = min(bits & 0x7fffffffu, 0x40c00000u);  // 6
  const uint normal = rounded_bits(capped, 22);
  const uint small = floatBitsToUint(roundEven(uintBitsToFloat(capped) * 2.0) * 0.5);
  return uintBitsToFloat((bits & 0x80000000u) | (capped >= 0x3f800000u ? normal : small));
}

/// The nearest FP16 number; from 65520 on infinity, and NaN stays NaN. GLSL does not say how its own conversion rounds.
uint f16_bits(float value) {
  const uint bits = floatBitsToUint(value);
  const uint sign_bit = bits >> 16 & 0x8000u;
  const uint magnitude = bits & 0x7fffffffu;
  if (magnitude > kInfinityBits) return sign_bit | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign_bit | 0x7c00u;
  if (magnitude >= 0x38800000u) return sign_bit | (rounded_bits(magnitude, 13) - 0x38000000u) >> 13;
  return sign_bit | uint(roundEven(uintBitsToFloat(magnitude) * 16777216.0));  // below 2^-14 multiples of 2^-24
}
