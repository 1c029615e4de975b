#version 460
// One product for each head of a token, with the head's own matrix, for many tokens. Elements after the inputs of a head are copied to
// after its outputs.
//
//   result[t, h] = (narrow_x[t, h] W_h^T, x[t, h, K:])
//
// Shapes       x: [T, n_heads, x_stride], of which n_copied elements from K on are read; narrow_x: [T, n_heads, padded K];
//              x_scales: [T, n_heads]; weights: [n_heads * n_outputs, padded K]; result: [T, n_heads, out_stride]
// Dtypes       x, result: f32; narrow_x: BF16, with MATRICES FP16 with one f32 scale per row; weights: f32, BF16 or FP16
// Accumulator  matmul_tile.glsl; compiled with MATRICES matrix_tile.glsl
// Aliasing     none
// Alignment    rows of the weights and of narrow_x to 16 bytes
// Constants    0 kEncoding, 1 kX, 2 kTileRows, 3 kTileCols; with MATRICES those of matrix_tile.glsl
// Grid         x: tiles of consecutive tokens; y: along the rows of a head's weight; z: heads
// Source       gpu/kernels/head_matmul.cpp
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(HeadMatmulParameters)
#include "weight.glsl"
#include "product_input.glsl"
#ifdef MATRICES
#include "matrix_tile.glsl"
#else
#include "matmul_tile.glsl"
#endif

void main() {
  const Weight w = p.weight;
  const int n_rows = I32(p.n_rows).at[0];
  const int head = int(gl_WorkGroupID.z);
  const int first_token = int(gl_WorkGroupID.x) * kTileRows;
  if (first_token >= n_rows) return;  // all threads of the workgroup
  const int thread = int(gl_LocalInvocationID.x);
  if (thread < kTileRows) tile_x_rows[thread] = first_token + thread < n_rows ? (first_token + thread) * p.n_heads + head : -1;
  if (gl_WorkGroupID.y == 0) {
    const int n_tokens = min(kTileRows, n_rows - first_token);
    for (int i = thread; i < n_tokens * p.n_copied; i += kTileThreads) {
      const int token = first_token + i / p.n_copied;
      const int element = i % p.n_copied;
      const uint64_t head_at = uint64_t(token) * uint64_t(p.n_heads) + uint64_t(head);
      const float value = F32(p.x + head_at * uint64_t(p.x_stride) * 4).at[w.n_cols + element];
      F32(p.result + head_at * uint64_t(p.out_stride) * 4).at[p.n_outputs + element] = value;
    }
  }
  const int first_output = int(gl_WorkGroupID.y) * kTileCols;
  const int head_begin = head * p.n_outputs;
  compute_tile(w, head_begin + first_output, head_begin + p.n_outputs, p.narrow_x, p.x_scales, 0, w.padded_cols);
  [[unroll]] for (int r = 0; r < kThreadRows; ++r) {
    stage_row(r);
    const int token = first_token + thread_row(r);
    if (token < n_rows) {
      const int x_row = token * p.n_heads + head;
      const uint64_t begin = p.result + uint64_t(x_row) * uint64_t(p.out_stride) * 4;
      [[dont_unroll]] for (int c = 0; c < kThreadCols; ++c) {
        const int output_row = first_output + thread_col(c);
        if (output_row < p.n_outputs) {
          F32(begin).at[output_row] = scaled_sum(p.x_scales, w, x_row, head_begin + output_row, staged_sum(c));
        }
      }
    }
  }
}
