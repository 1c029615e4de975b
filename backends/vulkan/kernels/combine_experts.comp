#version 460
// Adds the products of a token's experts, always in the order of their slots.
//
//   result[t] = aux[t] + sum_j share[t, j] * partial[t, j]
//
// Shapes       share: [T, n_top]; partial: [T, n_top, N]; aux, result: [T, N]; aux may be null
// Dtypes       f32
// Accumulator  f32
// Aliasing     aux may be the result
// Grid         x: 256 columns each; y: tokens
// Source       gpu/kernels/grouped_tiles.cpp
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(GroupedMatmulParameters)

void main() {
  const int token = int(gl_WorkGroupID.y);
  const int col = int(gl_GlobalInvocationID.x);
  if (token >= I32(p.n_rows).at[0] || col >= p.n_expert_rows) return;
  const uint64_t row_bytes = uint64_t(p.n_expert_rows) * 4;
  const uint64_t row_at = uint64_t(token) * row_bytes;
  float total = 0.0;
  if (p.aux != 0) total = F32(p.aux + row_at).at[col];
  for (int j = 0; j < p.n_top; ++j) {
    const int pair = token * p.n_top + j;
    total += F32(p.share).at[pair] * F32(p.partial + uint64_t(pair) * row_bytes).at[col];
  }
  F32(p.result + row_at).at[col] = total;
}
