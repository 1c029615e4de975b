#version 460
// One product for each head of a token, with the head's own matrix, for few tokens. Elements after the inputs of a head are copied to
// after its outputs.
//
//   result[t, h] = (x[t, h, :K] W_h^T, x[t, h, K:])
//
// Shapes       x: [T, n_heads, x_stride], of which K + n_copied are read; weights: [n_heads * n_outputs, padded K];
//              result: [T, n_heads, out_stride]
// Dtypes       x, result: f32; weights: f32, BF16 or FP16
// Accumulator  f32, over the eight threads of an output in a fixed order
// Aliasing     none
// Alignment    rows of the weights and heads of x to 16 bytes
// Constants    0 kEncoding, 1 kX: kXF32
// Grid         x: tokens; y: kOutputs rows of a head's weight each; z: heads
// Source       gpu/kernels/head_matmul.cpp
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 128) in;
PARAMETERS(HeadMatmulParameters)
#include "weight.glsl"
#include "product_input.glsl"

const int kThreads = 128;
const int kColumnThreads = 8;  ///< that share an output: K is short
const int kOutputs = kThreads / kColumnThreads;

shared float thread_sums[kThreads];

void main() {
  const Weight w = p.weight;
  const int token = int(gl_WorkGroupID.x);
  const int head = int(gl_WorkGroupID.z);
  if (token >= I32(p.n_rows).at[0]) return;  // all threads of the workgroup
  const int thread = int(gl_LocalInvocationID.x);
  const int column_thread = thread % kColumnThreads;
  const int output_row = int(gl_WorkGroupID.y) * kOutputs + thread / kColumnThreads;
  const uint64_t head_at = uint64_t(token) * uint64_t(p.n_heads) + uint64_t(head);
  const uint64_t x_begin = p.x + head_at * uint64_t(p.x_stride) * 4;
  const uint64_t result_begin = p.result + head_at * uint64_t(p.out_stride) * 4;
  // Rows past the head's last one repeat it, and their sums are not stored.
  const int weight_row = head * p.n_outputs + min(output_row, p.n_outputs - 1);
  float sum = 0.0;
  for (int col = column_thread * 8; col < w.n_cols; col += kColumnThreads * 8) {
    float x[8];
    float values[8];
    f32_eight(x_begin, p.x_stride % 4 == 0, col, w.n_cols, x);
    weight_eight(w, weight_row, col, values);
    [[unroll]] for (int i = 0; i < 8; ++i) sum += values[i] * x[i];
  }
  thread_sums[thread] = sum;
  barrier();
  if (column_thread == 0 && output_row < p.n_outputs) {
    float total = 0.0;
    [[unroll]] for (int i = 0; i < kColumnThreads; ++i) total += thread_sums[thread + i];
    F32(result_begin).at[output_row] = total;
  }
  if (gl_WorkGroupID.y == 0) {
    for (int i = thread; i < p.n_copied; i += kThreads) {
      F32(result_begin).at[p.n_outputs + i] = F32(x_begin).at[w.n_cols + i];
    }
  }
}
