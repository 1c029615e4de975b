#version 460
// Adds the partial sums of the workgroups of tiled_matmul.comp that share K, always in the same order, and finishes them.
//
//   result[m, n] = epilogue(sum_s partial[s, m, n])
//
// Shapes       partial: [n_splits, max_rows, N]; result: [rows, N], or [rows, N/2] for gated epilogues
// Dtypes       partial: f32, or int32 with int8 x and int8 with a scale per row; result: f32
// Accumulator  the type of the partial sums
// Aliasing     aux may be the result
// Constants    0 kEncoding, 1 kX
// Grid         x: 64 results of a row each; y: the rows of x
// Source       gpu/kernels/tiled_matmul.cpp
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 64) in;
PARAMETERS(MatmulParameters)
#include "weight.glsl"
#include "product_input.glsl"
#include "epilogue.glsl"
#include "store_product.glsl"

/// The whole sum of element [row, output_row], with every scale.
float combined_sum(Weight w, int row, int output_row) {
  uint64_t at = p.partial + (uint64_t(row) * uint64_t(w.n_rows) + uint64_t(output_row)) * 4;
  const uint64_t split_bytes = uint64_t(p.max_rows) * uint64_t(w.n_rows) * 4;
  float sum = 0.0;
  int exact_sum = 0;
  for (int split = 0; split < p.n_splits; ++split) {
    if (kX == kXInt8 && kEncoding == kEncodingInt8) {
      exact_sum += I32(at).at[0];
    } else {
      sum += F32(at).at[0];
    }
    at += split_bytes;
  }
  if (kX == kXInt8 && kEncoding == kEncodingInt8) sum = float(exact_sum);
  return scaled_sum(p.x_scales, w, row, output_row, sum);
}

void main() {
  const Weight w = p.weight;
  const int row = int(gl_WorkGroupID.y);
  const int col = int(gl_GlobalInvocationID.x);
  const bool has_pairs = is_gated(p.epilogue);
  if (row >= I32(p.n_rows).at[0] || col >= (has_pairs ? w.n_rows / 2 : w.n_rows)) return;
  if (has_pairs) {
    store_gated(w.n_rows, row, col, combined_sum(w, row, 2 * col), combined_sum(w, row, 2 * col + 1));
  } else {
    store_product(w.n_rows, row, col, combined_sum(w, row, col));
  }
}
