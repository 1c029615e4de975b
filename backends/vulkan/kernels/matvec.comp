#version 460
// Matrix product for few rows of x, as decode has them: bound by reading the weight once.
//
//   result[m, n] = epilogue(sum_k x[m, k] * weight[n, k])
//
// or with the norm of x before it, in one kernel instead of two:
//
//   result[m, n] = epilogue(sum_k x[m, k] * norm_weight[k] * weight[n, k] / sqrt(mean_k(x[m, k]^2) + norm_eps))
//
// Shapes       x: [rows, K]; weight: [N, K]; result: [rows, N], or [rows, N/2] for gated epilogues
// Dtypes       x: f32, or with one f32 scale per row int8, or with one per row or group E4M3 or NVFP4 numbers as BF16; weight: any
//              encoding; result: f32
// Accumulator  dot_products.glsl
// Aliasing     aux may be the result
// Alignment    weight rows, int8 and BF16 x to 16 bytes; f32 x is read 16 bytes at a time where K is a multiple of 4
// Constants    0 kEncoding, 1 kX, 2 kRows: rows of x that a workgroup multiplies, 1, 2 or 4
// Grid         x, y: kOutputs rows of the weight each, counted along x first; z: kRows rows of x each
// Source       gpu/kernels/matvec.cpp
//
// Every workgroup reads all of x and so has the sum of its squares at the end of the columns, when the total sums are divided by its root.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 128) in;
layout(constant_id = 2) const int kRows = 1;
PARAMETERS(MatmulParameters)
#include "weight.glsl"
#include "product_input.glsl"
#include "dot_products.glsl"
#include "epilogue.glsl"
#include "store_product.glsl"

/// The product of output `o` of the workgroup with its row `m` of x, with every scale.
float product(Weight w, int o, int m, int row, int output_row) {
  const float sum = scaled_sum(p.x_scales, w, row, output_row, whole_sum(o, m));
  if (kX != kXF32 || p.norm_weight == 0) return sum;
  return sum / sqrt(whole_squares(m) / float(w.n_cols) + p.norm_eps);
}

void main() {
  const Weight w = p.weight;
  const int n_rows = I32(p.n_rows).at[0];
  const int first_row = int(gl_WorkGroupID.z) * kRows;
  const int first_output = int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * kOutputs;
  if (first_row >= n_rows || first_output >= w.n_rows) return;  // all threads of the workgroup
  // Rows past the last one repeat it, and their sums are not stored.
  int weight_rows[kOutputs];
  int x_rows[kMostRows];
  [[unroll]] for (int o = 0; o < kOutputs; ++o) weight_rows[o] = min(first_output + o, w.n_rows - 1);
  [[unroll]] for (int m = 0; m < kMostRows; ++m) x_rows[m] = min(first_row + m, n_rows - 1);
  sum_columns(w, weight_rows, p.x, p.x_scales, x_rows, p.norm_weight);
  store_subgroup_sums();
  if (kX == kXF32 && p.norm_weight != 0) store_subgroup_squares();
  barrier();
  // One thread for each product, or pair of products that are a gate and its value.
  const bool has_pairs = is_gated(p.epilogue);
  const int thread = int(gl_LocalInvocationID.x);
  const int m = thread % kRows;
  const int o = thread / kRows * (has_pairs ? 2 : 1);
  const int row = first_row + m;
  const int output_row = first_output + o;
  if (o >= kOutputs || output_row >= w.n_rows || row >= n_rows) return;
  const float sum = product(w, o, m, row, output_row);
  if (!has_pairs) {
    store_product(w.n_rows, row, output_row, sum);
    return;
  }
  const float up = product(w, o + 1, m, row, output_row + 1);
  store_gated(w.n_rows, row, output_row / 2, sum, up);
}
