#version 460
// Rounds rows of activations to int8: gpu/kernels/rows.cpp's quantize_rows, by the rule of op.h's ActQuant.
//
//   q[r] = clamp(round-half-even(x[r] / s), +-127),  scales[r] = s = max|x[r]| / 127
//   a static scale is used as s; then q is at least -128, and scales[r] is NaN for a row that is not finite
//
// Shapes       x: [rows, n_cols]; q: [rows, padded_cols], zeros past n_cols; scales: [rows]
// Types        x, scales: f32; q: int8
//
// A workgroup takes a row. The quotient is that of IEEE 754 (division.glsl).
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(NarrowParameters)
#include "narrow.glsl"

void main() {
  const int row = row_of_workgroup();
  if (row >= I32(p.n_tokens).at[0] * p.rows_per_token) return;
  const int n_cols = p.n_cols;
  const int padded_cols = p.padded_cols;
  const uint64_t x = p.x + uint64_t(row) * uint64_t(n_cols) * 4;
  const uint64_t codes = p.result + uint64_t(row) * uint64_t(padded_cols);
  const bool is_static = p.static_scale > 0.0;
  const uint largest = largest_of_row(x, n_cols);
  const float scale = is_static ? scale_or_nan(p.static_scale, largest) : quotient(uintBitsToFloat(largest), 127.0);
  if (gl_LocalInvocationID.x == 0) F32(p.scales).at[row] = scale;
  const bool usable = is_usable_scale(scale);
  const float least = is_static ? -128.0 : -127.0;
  for (int i = int(gl_LocalInvocationID.x); i < padded_cols; i += int(gl_WorkGroupSize.x)) {
    float code = 0.0;
    if (usable && i < n_cols) code = clamp(roundEven(quotient(F32(x).at[i], scale)), least, 127.0);
    I8(codes).at[i] = int8_t(int(code));
  }
}
