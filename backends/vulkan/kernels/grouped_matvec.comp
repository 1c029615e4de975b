#version 460
// The experts' products of a mixture for few tokens: bound by reading the chosen experts' weights.
//
//   first product   result[t, j] = epilogue(x[t] W_e^T + bias_e),   e = expert[t, j];   with x_per_expert x[t, j]
//   second product  result[t] = aux[t] + sum_j share[t, j] * (x[t, j] W_e^T + bias_e)
//
// Shapes       x: [T, K], with x_per_expert, as in the second product, [T, n_top, K]; weights: [n_experts * N, K]; expert, share:
//              [T, n_top]; result: [T, n_top, N] (N/2 if gated), in the second product [T, N]; bias: [n_experts, N] with gates before
//              ups, or null
// Dtypes       x: f32, or with one f32 scale per row int8, or with one per row or group E4M3 or NVFP4 numbers as BF16; weights: any
//              encoding; expert: int32; result: f32
// Accumulator  dot_products.glsl; experts are added in their order
// Aliasing     in the second product aux may be the result
// Alignment    as matvec.comp
// Constants    0 kEncoding, 1 kX
// Grid         x: kOutputs rows of an expert's weight each; y: the (token, slot) pairs, in the second product the tokens
// Source       gpu/kernels/grouped_matvec.cpp
//
// In the first product a workgroup computes some outputs of one token with one of its experts. In the second it computes some outputs of
// one token with all of the token's experts, one after the other.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 128) in;
const int kRows = 1;
PARAMETERS(GroupedMatmulParameters)
#include "weight.glsl"
#include "product_input.glsl"
#include "dot_products.glsl"
#include "epilogue.glsl"

/// The bias of one row of an expert's weight, or 0.
float expert_bias(int expert, int row) {
  if (p.bias == 0) return 0.0;
  return F32(p.bias + uint64_t(expert) * uint64_t(p.n_expert_rows) * 4).at[row];
}

void main() {
  const Weight w = p.weight;
  const bool is_second = p.share != 0;
  const int block = int(gl_WorkGroupID.y);
  const int token = is_second ? block : block / p.n_top;
  if (token >= I32(p.n_rows).at[0]) return;  // all threads of the workgroup
  // The workgroup's experts are expert[first_chosen] to expert[first_chosen + n_chosen - 1].
  const int n_chosen = is_second ? p.n_top : 1;
  const int first_chosen = is_second ? token * p.n_top : block;
  const int first_output = int(gl_WorkGroupID.x) * kOutputs;
  // One thread for each product, or pair of products that are a gate and its value.
  const bool has_pairs = is_gated(p.epilogue);
  const int o = int(gl_LocalInvocationID.x) * (has_pairs ? 2 : 1);
  const int output_row = first_output + o;
  const bool stores = o < kOutputs && output_row < p.n_expert_rows;
  const int n_results = has_pairs ? p.n_expert_rows / 2 : p.n_expert_rows;
  const uint64_t at = (uint64_t(block) * uint64_t(n_results) + uint64_t(has_pairs ? output_row / 2 : output_row)) * 4;
  float total = 0.0;
  if (stores && p.aux != 0) total = F32(p.aux + at).at[0];

  for (int j = 0; j < n_chosen; ++j) {
    const int chosen = first_chosen + j;
    const int expert = I32(p.expert).at[chosen];
    const int x_row = p.x_per_expert != 0 ? chosen : token;
    const int expert_begin = expert * p.n_expert_rows;
    int weight_rows[kOutputs];
    int x_rows[kMostRows];
    // Rows past the expert's last one repeat it, and their sums are not stored.
    [[unroll]] for (int i = 0; i < kOutputs; ++i) weight_rows[i] = expert_begin + min(first_output + i, p.n_expert_rows - 1);
    [[unroll]] for (int m = 0; m < kMostRows; ++m) x_rows[m] = x_row;
    sum_columns(w, weight_rows, p.x, p.x_scales, x_rows, 0);
    barrier();  // the sums of the last expert have been read
    store_subgroup_sums();
    barrier();
    if (stores) {
      const int weight_row = expert_begin + output_row;
      float value = scaled_sum(p.x_scales, w, x_row, weight_row, whole_sum(o, 0));
      if (has_pairs) {
        const int pair = output_row / 2;
        const float up = scaled_sum(p.x_scales, w, x_row, weight_row + 1, whole_sum(o + 1, 0));
        value = gated(p.epilogue, value + expert_bias(expert, pair), up + expert_bias(expert, n_results + pair));
      } else {
        value += expert_bias(expert, output_row);
      }
      const float share = optional_f32(p.share, p.result, chosen);
      total += is_second ? share * value : value;
    }
  }
  if (stores) F32(p.result + at).at[0] = total;
}
