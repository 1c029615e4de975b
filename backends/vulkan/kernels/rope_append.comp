#version 460
// Optional norm of q and k (op.h's HeadNorm), rotary embedding (arXiv:2104.09864, half-rotation layout), and the write of k and v to the
// paged cache. A workgroup takes four heads of a token, 32 threads each: q heads, then k heads, then v heads.
//
//   angle = position * inv_freq[i],   c = attention_factor * cos(angle),   s = attention_factor * sin(angle), but without
//   the factor where inv_freq[i] is 0
//   result[i] = x[i] c - x[i + head_dim/2] s,   result[i + head_dim/2] = x[i + head_dim/2] c + x[i] s
//   With query_period > 0, q_out is result * (1 + query_beta * ln(1 + floor(position / query_period))).
//
// Grid         (tokens, ceil((n_heads + 2 n_kv_heads) / 4))
// Shapes       qkv: [T, qkv_stride], whose first n_heads * head_dim columns are the q heads;
//              k, v: T rows of n_kv_heads * head_dim values, which begin k_stride and v_stride values after each other;
//              q_out: [T, n_heads * head_dim]; inv_freq: [head_dim / 2];
//              q_norm, k_norm: 0, [head_dim] for all heads, or [n_heads * head_dim] and [n_kv_heads * head_dim];
//              KV cache: [n_pages, n_kv_heads, page_tokens, head_dim]; tokens whose slot is -1 are not cached
// Types        f32; KV cache: BF16, rounded to nearest even
// Accumulator  f32, for the norm's mean and sum of squares
// Aliasing     q_out and the cache overlap neither qkv, k nor v
// Source       op.h's RopeSpec, which follows Hugging Face: the product position * inv_freq is rounded to f32
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 32, local_size_y = 4) in;
PARAMETERS(RopeAppendParameters)
#include "rotation.glsl"

void main() {
  const int token = int(gl_WorkGroupID.x);
  if (token >= I32(p.batch.n_tokens).at[0]) return;
  const int head = int(gl_WorkGroupID.y * gl_WorkGroupSize.y + gl_LocalInvocationID.y);
  const int lane = int(gl_LocalInvocationID.x);
  const int n_lanes = int(gl_WorkGroupSize.x);
  const int n_heads = p.n_heads;
  const int n_kv_heads = p.kv.n_kv_heads;
  const int head_dim = p.kv.head_dim;
  const bool is_query = head < n_heads;
  const bool is_value = head >= n_heads + n_kv_heads;
  const bool exists = head < n_heads + 2 * n_kv_heads;
  // The head's number among those of q, of k or of v, and what is in memory before it.
  const int number = is_query ? head : is_value ? head - n_heads - n_kv_heads : head - n_heads;
  const int begin = number * head_dim;
  const uint64_t heads = is_query   ? p.qkv + uint64_t(token) * uint64_t(p.qkv_stride) * 4
                         : is_value ? p.v + uint64_t(token) * uint64_t(p.v_stride) * 4
                                    : p.k + uint64_t(token) * uint64_t(p.k_stride) * 4;
  const uint64_t x = heads + uint64_t(begin) * 4;

  // Sums over a head are sums of all threads of the workgroup, also of those whose head has no norm or does not exist.
  uint64_t norm = !exists || is_value ? uint64_t(0) : is_query ? p.q_norm : p.k_norm;
  float mean = 0.0;
  float factor = 1.0;
  if (p.q_norm != 0 || p.k_norm != 0) {
    const bool is_of_all = p.head_norm == kHeadNormRmsOfAllHeads;
    const int n_heads_of_norm = is_of_all ? (is_query ? n_heads : n_kv_heads) : 1;
    const int n = norm == 0 ? 0 : n_heads_of_norm * head_dim;
    const uint64_t normed = is_of_all ? heads : x;
    if (p.head_norm == kHeadNormLayerNormOfHead) mean = mean_of(normed, n);
    factor = inverse_rms(normed, n, p.norm_eps, mean);
    if (norm != 0 && p.head_norm != kHeadNormRmsOfHead) norm += uint64_t(begin) * 4;  // each head has weights of its own
  }
  if (!exists) return;

  const int slot = I32(p.batch.kv_slots).at[token];
  uint64_t cached = 0;
  if (!is_query) {
    if (slot < 0) return;  // padding
    const int page = slot / p.kv.page_tokens;
    const int line = (page * n_kv_heads + number) * p.kv.page_tokens + slot % p.kv.page_tokens;
    cached = (is_value ? p.kv.values : p.kv.keys) + uint64_t(line) * uint64_t(head_dim) * 2;
  }
  if (is_value) {
    for (int i = lane; i < head_dim; i += n_lanes) U16(cached).at[i] = uint16_t(bf16_bits(F32(x).at[i]));
    return;
  }
  const int pair_distance = head_dim / 2;
  const int position = I32(p.batch.positions).at[token];
  const float growth = is_query ? query_growth(position, p.query_beta, p.query_period) : 1.0;
  const uint64_t rotated_query = p.q_out + (uint64_t(token) * uint64_t(n_heads) + uint64_t(head)) * uint64_t(head_dim) * 4;
  for (int i = lane; i < pair_distance; i += n_lanes) {
    float first = F32(x).at[i];
    float second = F32(x).at[i + pair_distance];
    if (norm != 0) {
      first = (first - mean) * (factor * F32(norm).at[i]);
      second = (second - mean) * (factor * F32(norm).at[i + pair_distance]);
    }
    const vec2 turned = rotate(pair_rotation(position, F32(p.inv_freq).at[i], p.attention_factor), first, second);
    if (is_query) {
      F32(rotated_query).at[i] = turned.x * growth;
      F32(rotated_query).at[i + pair_distance] = turned.y * growth;
    } else {
      U16(cached).at[i] = uint16_t(bf16_bits(turned.x));
      U16(cached).at[i + pair_distance] = uint16_t(bf16_bits(turned.y));
    }
  }
}
