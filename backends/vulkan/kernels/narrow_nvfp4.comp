#version 460
// Rounds activations to NVFP4: gpu/kernels/rows.cpp's narrow_rows, by the rule of op.h's ActQuant::kNvfp4Static.
//
//   out[r, c] = s * e2m1(x[r, c] / (s g)) as BF16, in which it is exact,  s = e4m3(max|x| / 6 / g) of every 16 columns
//   scales[r] = g, the static scale; NaN for a row that is not finite
//
// Shapes       x: [rows, n_cols] with x_stride values from one row to the next; out: [rows, padded_cols], zeros past n_cols; scales: [rows]
// Types        x, scales: f32; out: BF16, rows of 16-byte vectors
//
// A workgroup takes a row, and a thread the 16 columns that share a scale.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(NarrowParameters)
#include "narrow.glsl"

const int kGroupCols = 16;

void main() {
  const int row = row_of_workgroup();
  if (row >= I32(p.n_tokens).at[0] * p.rows_per_token) return;
  const int n_cols = p.n_cols;
  const int padded_cols = p.padded_cols;
  const uint64_t x = p.x + uint64_t(row) * uint64_t(p.x_stride) * 4;
  const uint64_t narrowed = p.result + uint64_t(row) * uint64_t(padded_cols) * 2;
  const float stored_scale = scale_or_nan(p.static_scale, largest_of_row(x, n_cols));
  if (gl_LocalInvocationID.x == 0) F32(p.scales).at[row] = stored_scale;
  const bool usable = is_usable_scale(stored_scale);
  for (int col = int(gl_LocalInvocationID.x) * kGroupCols; col < padded_cols; col += int(gl_WorkGroupSize.x) * kGroupCols) {
    float values[2][kVecValues];
    load_values(x, col, n_cols, values[0]);
    load_values(x, col + kVecValues, n_cols, values[1]);
    uint largest = 0u;
    [[unroll]] for (int i = 0; i < kVecValues; ++i) largest = max(largest, max(magnitude_of(values[0][i]), magnitude_of(values[1][i])));
    float scale = 0.0;
    if (usable) scale = nearest_e4m3(quotient(quotient(uintBitsToFloat(largest), 6.0), stored_scale));
    const float step = scale * stored_scale;
    const bool has_step = is_usable_scale(step);
    [[unroll]] for (int part = 0; part < 2; ++part) {
      [[unroll]] for (int i = 0; i < kVecValues; ++i) {
        values[part][i] = has_step ? scale * nearest_e2m1(quotient(values[part][i], step)) : 0.0;
      }
      store_bf16(narrowed, col + part * kVecValues, values[part]);
    }
  }
}
