#version 460
// Copies chosen rows: out[r] = x[rows[r]] (gpu/kernels/rows.cpp's select_rows).
//
// Shapes       x: [*, n_cols]; rows: [n_rows]; out: [n_rows, n_cols]
// Types        x, out: words of 32 bits, which stay what they are; rows: int32
//
// A workgroup takes a row.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(SelectRowsParameters)

void main() {
  const int row = int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x);
  if (row >= I32(p.n_rows).at[0]) return;
  const int n_cols = p.n_cols;
  const uint64_t from = p.x + uint64_t(I32(p.rows).at[row]) * uint64_t(n_cols) * 4;
  const uint64_t to = p.result + uint64_t(row) * uint64_t(n_cols) * 4;
  for (int col = int(gl_LocalInvocationID.x); col < n_cols; col += int(gl_WorkGroupSize.x)) U32(to).at[col] = U32(from).at[col];
}
