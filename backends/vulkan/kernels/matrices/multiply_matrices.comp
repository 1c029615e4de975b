#version 460
// Multiplies cooperative matrices as fast as the device can, to measure their peak: gpu/kernels/compute.cpp's ComputeUnit::kBf16, of FP16
// operands (MATRICES_F16), and kInt8 (MATRICES_INT8).
//
//   results[thread] = n_steps * (sums of the thread) * (multiply-adds of a sum in a step), each of which adds 1 * 1
//
// Shapes       results: [workgroups * 256]; a subgroup has kComputeTiles * 256 sums, in matrices of kMatrixRows x kMatrixCols
// Types        sums: f32, or int32; exact, and the results show that every product was made
// Constants    4 kMatrixRows, 5 kMatrixCols, 6 kMatrixDepth
#extension GL_GOOGLE_include_directive : require
#include "../common.glsl"

layout(constant_id = 4) const int kMatrixRows = 16;
layout(constant_id = 5) const int kMatrixCols = 16;
layout(constant_id = 6) const int kMatrixDepth = 16;

layout(local_size_x = 256) in;
PARAMETERS(ComputeParameters)

#ifdef MATRICES_F16
#define OPERAND float16_t
#define SUM float
#else
#define OPERAND int8_t
#define SUM int
#endif

const int kMatrices = kComputeTiles * 256 / (kMatrixRows * kMatrixCols);

void main() {
  const int n_steps = p.n_steps;
  const OPERAND one = OPERAND(p.one);  // whose value the compiler does not know
  const coopmat<OPERAND, gl_ScopeSubgroup, kMatrixRows, kMatrixDepth, gl_MatrixUseA> a =
      coopmat<OPERAND, gl_ScopeSubgroup, kMatrixRows, kMatrixDepth, gl_MatrixUseA>(one);
  const coopmat<OPERAND, gl_ScopeSubgroup, kMatrixDepth, kMatrixCols, gl_MatrixUseB> b =
      coopmat<OPERAND, gl_ScopeSubgroup, kMatrixDepth, kMatrixCols, gl_MatrixUseB>(one);
  coopmat<SUM, gl_ScopeSubgroup, kMatrixRows, kMatrixCols, gl_MatrixUseAccumulator> sums[kMatrices];
  [[unroll]] for (int i = 0; i < kMatrices; ++i) {
    sums[i] = coopmat<SUM, gl_ScopeSubgroup, kMatrixRows, kMatrixCols, gl_MatrixUseAccumulator>(0);
  }
  for (int step = 0; step < n_steps; ++step) {
    [[unroll]] for (int k = 0; k < kComputeDepth / kMatrixDepth; ++k) {
      [[unroll]] for (int i = 0; i < kMatrices; ++i) sums[i] = coopMatMulAdd(a, b, sums[i]);
    }
  }
  float total = 0.0;
  [[unroll]] for (int i = 0; i < kMatrices; ++i) {
    for (int element = 0; element < sums[i].length(); ++element) total += float(sums[i][element]);
  }
  F32(p.results).at[gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x] = total;
}
