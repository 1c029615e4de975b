#version 460
// The products of a mixture's experts for many tokens, whose rows group_rows.comp has grouped.
//
//   first product   result[t, j] = epilogue(x[t] W_e^T + bias_e),   e = expert[t, j];   with x_per_expert x[t, j]
//   second product  partial[t, j] = x[t, j] W_e^T + bias_e, which combine_experts.comp adds
//
// Shapes       x: [T, padded K], with x_per_expert, as in the second product, [T, n_top, padded K]; weights: [n_experts * N, padded K];
//              bias: [n_experts, N] with gates before ups, or null; result: [T, n_top, N] (N/2 if gated); partial: [T, n_top, N]
// Dtypes       x: BF16, or with one f32 scale per row int8 or FP16, or with one per row or group E4M3 or NVFP4 numbers as BF16; weights:
//              any encoding; result, partial: f32
// Accumulator  matmul_tile.glsl; compiled with MATRICES matrix_tile.glsl
// Aliasing     none
// Alignment    rows of x and of the weights to 16 bytes
// Constants    0 kEncoding, 1 kX, 2 kTileRows, 3 kTileCols; with MATRICES those of matrix_tile.glsl
// Grid         x: max_tiles, of which those past the last tile have nothing to do; y: along the rows of an expert's weight
// Source       gpu/kernels/grouped_tiles.cpp
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(GroupedMatmulParameters)
#include "weight.glsl"
#include "product_input.glsl"
#ifdef MATRICES
#include "matrix_tile.glsl"
#else
#include "matmul_tile.glsl"
#endif
#include "epilogue.glsl"

/// The row of x of a (token, slot) pair.
int x_row_of(int pair) { return p.x_per_expert != 0 ? pair : pair / p.n_top; }

/// The bias of one row of an expert's weight, or 0.
float expert_bias(int expert, int row) {
  if (p.bias == 0) return 0.0;
  return F32(p.bias + uint64_t(expert) * uint64_t(p.n_expert_rows) * 4).at[row];
}

void main() {
  const Weight w = p.weight;
  const int tile = int(gl_WorkGroupID.x);
  if (tile >= I32(p.n_tiles).at[0]) return;  // all threads of the workgroup
  const int thread = int(gl_LocalInvocationID.x);
  const uint64_t list = p.tile_rows + uint64_t(tile) * uint64_t(kTileRows) * 4;
  if (thread < kTileRows) {
    const int pair = I32(list).at[thread];
    tile_x_rows[thread] = pair < 0 ? -1 : x_row_of(pair);
  }
  const int expert = I32(p.tile_experts).at[tile];
  const int expert_begin = expert * p.n_expert_rows;
  const int first_output = int(gl_WorkGroupID.y) * kTileCols;
  compute_tile(w, expert_begin + first_output, expert_begin + p.n_expert_rows, p.x, p.x_scales, 0, w.padded_cols);
  const bool has_pairs = is_gated(p.epilogue);
  const int n_results = has_pairs ? p.n_expert_rows / 2 : p.n_expert_rows;
  const uint64_t results = p.share != 0 ? p.partial : p.result;
  [[unroll]] for (int r = 0; r < kThreadRows; ++r) {
    stage_row(r);
    const int pair = I32(list).at[thread_row(r)];
    if (pair >= 0) {  // -1: padding of the expert's last tile
      const int x_row = x_row_of(pair);
      const uint64_t begin = results + uint64_t(pair) * uint64_t(n_results) * 4;
      [[dont_unroll]] for (int c = 0; c < kThreadCols; c += has_pairs ? 2 : 1) {
        const int output_row = first_output + thread_col(c);
        if (output_row < p.n_expert_rows) {
          const int weight_row = expert_begin + output_row;
          const float sum = scaled_sum(p.x_scales, w, x_row, weight_row, staged_sum(c));
          if (has_pairs) {
            const int column = output_row / 2;
            const float up = scaled_sum(p.x_scales, w, x_row, weight_row + 1, staged_sum(c + 1));
            F32(begin).at[column] =
                gated(p.epilogue, sum + expert_bias(expert, column), up + expert_bias(expert, n_results + column));
          } else {
            F32(begin).at[output_row] = sum + expert_bias(expert, output_row);
          }
        }
      }
    }
  }
}
