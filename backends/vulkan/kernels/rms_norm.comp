#version 460
// RMSNorm or LayerNorm, with an optional add before it or after it in the same pass: gpu/kernels/rms_norm.cpp, whose comment has the
// formula. A workgroup takes a row.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(RmsNormParameters)
#include "reduce.glsl"

uint64_t row_begin;  // in bytes

float summed(int i) {
  const float x = F32(p.x + row_begin).at[i];
  return p.add == 0 ? x : x + F32(p.add + row_begin).at[i];
}

void main() {
  const int row = int(gl_WorkGroupID.x);
  if (row >= I32(p.n_rows).at[0]) return;
  const int thread = int(gl_LocalInvocationID.x);
  const int n_threads = int(gl_WorkGroupSize.x);
  row_begin = uint64_t(row) * uint64_t(p.n_cols) * 4;
  float mean = 0.0;
  if (p.centers != 0) {
    float total = 0.0;
    for (int i = thread; i < p.n_cols; i += n_threads) total += summed(i);
    mean = sum_workgroup(total) / float(p.n_cols);
  }
  float squares = 0.0;
  for (int i = thread; i < p.n_cols; i += n_threads) {
    const float value = summed(i) - mean;
    squares += value * value;
  }
  const float factor = 1.0 / sqrt(sum_workgroup(squares) / float(p.n_cols) + p.eps);
  for (int i = thread; i < p.n_cols; i += n_threads) {
    const float value = summed(i);
    if (p.sum_out != 0) F32(p.sum_out + row_begin).at[i] = value;
    float normed = (value - mean) * factor * F32(p.weight).at[i];
    if (p.bias != 0) normed += F32(p.bias).at[i];
    F32(p.result + row_begin).at[i] = p.residual == 0 ? normed : F32(p.residual + row_begin).at[i] + normed;
  }
}
