#version 460
// The first of the kernels of a router (route.comp): score[t, e] = x[t] . gate[e] + bias[e].
//
// Shapes       x: [T, K]; gate: [n_experts, K]; bias: [n_experts] or null; scores: [T, n_experts]
// Types        x, bias, scores: f32; gate: the encoding that the specialization constant kEncoding says (weight.glsl)
// Accumulator  f32 per thread, then a reduction over the workgroup
//
// A workgroup takes an expert (x) of a token (y), so that all of the device reads the router's weights, which are megabytes.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 64) in;
PARAMETERS(RouteParameters)
#include "reduce.glsl"
#include "weight.glsl"

void main() {
  const int expert = int(gl_WorkGroupID.x);
  const int token = int(gl_WorkGroupID.y);
  if (token >= I32(p.n_rows).at[0]) return;
  const Weight gate = p.gate;
  const uint64_t x = p.x + uint64_t(token) * uint64_t(gate.n_cols) * 4;
  float sum = 0.0;
  for (int col = int(gl_LocalInvocationID.x) * 8; col < gate.n_cols; col += int(gl_WorkGroupSize.x) * 8) {
    float values[8];
    weight_eight(gate, expert, col, values);
    [[unroll]] for (int i = 0; i < 8; ++i) {
      if (col + i < gate.n_cols) sum += values[i] * F32(x).at[col + i];
    }
  }
  sum = sum_workgroup(sum);
  if (gl_LocalInvocationID.x != 0) return;
  sum += optional_f32(p.bias, p.scores, expert);
  F32(p.scores + uint64_t(token) * uint64_t(gate.n_rows) * 4).at[expert] = sum;
}
