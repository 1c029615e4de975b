#version 460
// Multiplies as fast as the device can, to measure the peak of f32: gpu/kernels/compute.cpp's ComputeUnit::kF32.
//
//   results[thread] = n_steps * (sums of the thread) * (multiply-adds of a sum in a step), each of which adds 1 * 1
//
// Shapes       results: [workgroups * 256]
// Types        f32; exact, and the results show that every product was made
//
// Independent chains of multiply-adds in registers, enough to hide their latency.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(ComputeParameters)

void main() {
  const int n_steps = p.n_steps;
  const float one = p.one;  // whose value the compiler does not know
  float sums[kF32Chains];
  [[unroll]] for (int i = 0; i < kF32Chains; ++i) sums[i] = 0.0;
  for (int step = 0; step < n_steps; ++step) {
    [[unroll]] for (int k = 0; k < kF32Depth; ++k) {
      [[unroll]] for (int i = 0; i < kF32Chains; ++i) sums[i] = fma(sums[i], one, one);
    }
  }
  float total = 0.0;
  [[unroll]] for (int i = 0; i < kF32Chains; ++i) total += sums[i];
  F32(p.results).at[gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x] = total;
}
