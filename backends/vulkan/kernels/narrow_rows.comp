#version 460
// Rounds rows of activations to 16-bit types: gpu/kernels/rows.cpp's narrow_rows, where a row as a whole has a scale or none.
//
//   kNarrowTo = kNarrowToBf16:   out[r] = bf16(x[r])
//               kNarrowToF16:    out[r] = f16(x[r] / scales[r]), with the power of two that brings the largest finite number of the
//                                row into [2^14, 2^15)
//               kNarrowToE4m3:   out[r] = e4m3(x[r] / s) as BF16, where scales[r] = s is max|x[r]| / 448 or the static scale
//
// Shapes       x: [rows, n_cols] with x_stride values from one row to the next; out: [rows, padded_cols], zeros past n_cols; scales: [rows]
// Types        x, scales: f32; out: BF16 or FP16, rows of 16-byte vectors
//
// A workgroup takes a row; for BF16, which needs nothing of a row as a whole, it takes vectors of eight values from several rows.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
layout(constant_id = 0) const int kNarrowTo = kNarrowToBf16;
PARAMETERS(NarrowParameters)
#include "narrow.glsl"

/// The bits of the largest finite magnitude of the row at address `x`. Every thread of the workgroup must call it.
uint largest_finite_of_row(uint64_t x, int n_cols) {
  uint largest = 0u;
  for (int i = int(gl_LocalInvocationID.x); i < n_cols; i += int(gl_WorkGroupSize.x)) {
    const uint magnitude = U32(x).at[i] & 0x7fffffffu;
    if (magnitude < kInfinityBits) largest = max(largest, magnitude);
  }
  return largest_in_workgroup(largest);
}

void narrow_vecs() {
  const int vecs_per_row = p.padded_cols / kVecValues;
  const int index = row_of_workgroup() * int(gl_WorkGroupSize.x) + int(gl_LocalInvocationID.x);
  const int row = index / vecs_per_row;
  if (row >= I32(p.n_tokens).at[0] * p.rows_per_token) return;
  const int col = (index - row * vecs_per_row) * kVecValues;
  float values[kVecValues];
  load_values(p.x + uint64_t(row) * uint64_t(p.x_stride) * 4, col, p.n_cols, values);
  store_bf16(p.result + uint64_t(row) * uint64_t(p.padded_cols) * 2, col, values);
}

void main() {
  if (kNarrowTo == kNarrowToBf16) {
    narrow_vecs();
    return;
  }
  const int row = row_of_workgroup();
  if (row >= I32(p.n_tokens).at[0] * p.rows_per_token) return;
  const int n_cols = p.n_cols;
  const int padded_cols = p.padded_cols;
  const uint64_t x = p.x + uint64_t(row) * uint64_t(p.x_stride) * 4;
  const uint64_t narrowed = p.result + uint64_t(row) * uint64_t(padded_cols) * 2;
  const bool is_f16 = kNarrowTo == kNarrowToF16;
  float scale = 1.0;
  if (is_f16) {
    scale = power_into_f16(largest_finite_of_row(x, n_cols));
  } else {
    const uint largest = largest_of_row(x, n_cols);
    scale = p.static_scale > 0.0 ? scale_or_nan(p.static_scale, largest) : quotient(uintBitsToFloat(largest), 448.0);
  }
  if (gl_LocalInvocationID.x == 0) F32(p.scales).at[row] = scale;
  const bool usable = is_usable_scale(scale);
  for (int col = int(gl_LocalInvocationID.x) * kVecValues; col < padded_cols; col += int(gl_WorkGroupSize.x) * kVecValues) {
    float values[kVecValues];
    load_values(x, col, n_cols, values);
    if (is_f16) {
      const float factor = inverse_of_power(scale);
      uint words[kVecValues];
      [[unroll]] for (int i = 0; i < kVecValues; ++i) words[i] = f16_bits(factor * values[i]);
      store_words(narrowed, col, words);
    } else {
      [[unroll]] for (int i = 0; i < kVecValues; ++i) values[i] = usable ? nearest_e4m3(quotient(values[i], scale)) : 0.0;
      store_bf16(narrowed, col, values);
    }
  }
}
