#version 460
// Copies chosen columns of every row: out[r, c] = x[r / rows_per_x, columns[c]], or columns[expert[r], c] where experts are given
// (gpu/kernels/rows.cpp's select_columns).
//
// Shapes       x: [tokens or rows of out, x_cols]; columns: [out_cols], or [n_experts, out_cols], each in [0, x_cols); expert: [tokens,
//              rows_per_token] or null; out: [tokens * rows_per_token, out_cols]
// Types        x, out: words of 32 bits, which stay what they are; columns, expert: int32
//
// A workgroup takes a row of out.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(SelectColumnsParameters)

void main() {
  const int row = int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x);
  if (row >= I32(p.n_tokens).at[0] * p.rows_per_token) return;
  const int out_cols = p.out_cols;
  const uint64_t from = p.x + uint64_t(row / p.rows_per_x) * uint64_t(p.x_cols) * 4;
  const uint64_t to = p.result + uint64_t(row) * uint64_t(out_cols) * 4;
  uint64_t columns = p.columns;
  if (p.expert != 0) columns += uint64_t(I32(p.expert).at[row]) * uint64_t(out_cols) * 4;
  for (int col = int(gl_LocalInvocationID.x); col < out_cols; col += int(gl_WorkGroupSize.x)) {
    U32(to).at[col] = U32(from).at[I32(columns).at[col]];
  }
}
