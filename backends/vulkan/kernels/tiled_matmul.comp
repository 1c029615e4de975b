#version 460
// Matrix product for many rows of x, as prefill has them.
//
//   result[m, n] = epilogue(sum_k x[m, k] * weight[n, k])
//
// Shapes       x: [rows, padded K]; weight: [N, padded K]; result: [rows, N], or [rows, N/2] for gated epilogues;
//              partial: [n_splits, max_rows, N], with more than one split
// Dtypes       x: BF16, or with one f32 scale per row int8 or FP16, or with one per row or group E4M3 or NVFP4 numbers as BF16; weight:
//              any encoding; result: f32; partial: f32, or int32 with int8 x and int8 with a scale per row
// Accumulator  matmul_tile.glsl; compiled with MATRICES matrix_tile.glsl
// Aliasing     aux may be the result
// Alignment    rows of x and of the weight to 16 bytes
// Constants    0 kEncoding, 1 kX, 2 kTileRows, 3 kTileCols; with MATRICES those of matrix_tile.glsl
// Grid         x: tiles along the rows of x, so that workgroups which share rows of the weight run together and hit the cache; y: along
//              the rows of the weight; z: n_splits slices of K
// Source       gpu/kernels/tiled_matmul.cpp
//
// Where the tiles are too few for the device, workgroups share K: combine_matmul.comp adds their sums and finishes them.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(MatmulParameters)
#include "weight.glsl"
#include "product_input.glsl"
#ifdef MATRICES
#include "matrix_tile.glsl"
#else
#include "matmul_tile.glsl"
#endif
#include "epilogue.glsl"
#include "store_product.glsl"

void main() {
  const Weight w = p.weight;
  const int n_rows = I32(p.n_rows).at[0];
  const int first_row = int(gl_WorkGroupID.x) * kTileRows;
  if (first_row >= n_rows) return;  // all threads of the workgroup
  const int thread = int(gl_LocalInvocationID.x);
  if (thread < kTileRows) tile_x_rows[thread] = first_row + thread < n_rows ? first_row + thread : -1;
  const int first_output = int(gl_WorkGroupID.y) * kTileCols;
  const int split = int(gl_WorkGroupID.z);
  const int begin_col = split * p.split_cols;
  const int end_col = min(begin_col + p.split_cols, w.padded_cols);
  compute_tile(w, first_output, w.n_rows, p.x, p.x_scales, begin_col, end_col);
  const bool has_pairs = is_gated(p.epilogue);
  [[unroll]] for (int r = 0; r < kThreadRows; ++r) {
    stage_row(r);
    const int row = first_row + thread_row(r);
    if (row < n_rows) {
      if (p.n_splits > 1) {
        const uint64_t partial_row = uint64_t(split) * uint64_t(p.max_rows) + uint64_t(row);
        const uint64_t begin = p.partial + partial_row * uint64_t(w.n_rows) * 4;
        [[dont_unroll]] for (int c = 0; c < kThreadCols; ++c) {
          const int output_row = first_output + thread_col(c);
          if (output_row < w.n_rows) U32(begin).at[output_row] = staged_bits(c);
        }
      } else if (has_pairs) {
        [[dont_unroll]] for (int c = 0; c < kThreadCols; c += 2) {
          const int output_row = first_output + thread_col(c);
          if (output_row < w.n_rows) {
            const float gate = scaled_sum(p.x_scales, w, row, output_row, staged_sum(c));
            const float up = scaled_sum(p.x_scales, w, row, output_row + 1, staged_sum(c + 1));
            store_gated(w.n_rows, row, output_row / 2, gate, up);
          }
        }
      } else {
        [[dont_unroll]] for (int c = 0; c < kThreadCols; ++c) {
          const int output_row = first_output + thread_col(c);
          if (output_row < w.n_rows) {
            store_product(w.n_rows, row, output_row, scaled_sum(p.x_scales, w, row, output_row, staged_sum(c)));
          }
        }
      }
    }
  }
}
