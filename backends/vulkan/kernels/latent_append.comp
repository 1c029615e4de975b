#version 460
// The latents of multi-head latent attention: the norm of the latent, the rotation of what follows it, both written to the paged
// cache; and the rotation of the last elements of each query head. A workgroup takes four heads of a token, 32 threads each: query heads,
// and the latent after the last one.
//
//   key = (latent[:R] * norm / sqrt(mean(latent[:R]^2) + norm_eps), rotated latent[R:]),   R = latent_dim
//   q_out = growth * (q[:R], rotated q[R:]),   growth and rotation as in rope_append.comp
//
// Grid         (tokens, ceil((n_heads + 1) / 4))
// Shapes       latent: [T, head_dim]; q, q_out: [T, n_heads, head_dim]; norm: [latent_dim]; inv_freq: [(head_dim - latent_dim) / 2];
//              KV cache: [n_pages, page_tokens, head_dim]; tokens whose slot is -1 are not cached
// Types        f32; KV cache: BF16, rounded to nearest even
// Accumulator  f32, for the norm's sum of squares
// Aliasing     q_out may be q: a thread reads the elements that it writes, and no others; the cache overlaps nothing else
// Source       op.h's LatentAppend; DeepSeek-V2, arXiv:2405.04434, section 2.1
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 32, local_size_y = 4) in;
PARAMETERS(LatentAppendParameters)
#include "rotation.glsl"

void main() {
  const int token = int(gl_WorkGroupID.x);
  if (token >= I32(p.batch.n_tokens).at[0]) return;
  const int head = int(gl_WorkGroupID.y * gl_WorkGroupSize.y + gl_LocalInvocationID.y);
  const int lane = int(gl_LocalInvocationID.x);
  const int n_lanes = int(gl_WorkGroupSize.x);
  const int head_dim = p.kv.head_dim;
  const int latent_dim = p.latent_dim;
  const bool is_query = head < p.n_heads;
  const bool is_latent = head == p.n_heads;
  const uint64_t query_begin = (uint64_t(token) * uint64_t(p.n_heads) + uint64_t(head)) * uint64_t(head_dim) * 4;
  const uint64_t x = is_query ? p.q + query_begin : p.latent + uint64_t(token) * uint64_t(head_dim) * 4;
  // All threads of the workgroup add up together; only those of the latent use their sum.
  const float factor = inverse_rms(x, is_latent ? latent_dim : 0, p.norm_eps, 0.0);
  if (!is_query && !is_latent) return;

  const int position = I32(p.batch.positions).at[token];
  const uint64_t rotated_query = p.q_out + query_begin;
  uint64_t cached = 0;
  float growth = 1.0;
  if (is_query) {
    growth = query_growth(position, p.query_beta, p.query_period);
    if (p.q != p.q_out || p.query_period > 0) {
      for (int i = lane; i < latent_dim; i += n_lanes) F32(rotated_query).at[i] = growth * F32(x).at[i];
    }
  } else {
    const int slot = I32(p.batch.kv_slots).at[token];
    if (slot < 0) return;  // padding
    cached = p.kv.keys + uint64_t(slot) * uint64_t(head_dim) * 2;  // with one KV head, slots follow each other through all pages
    for (int i = lane; i < latent_dim; i += n_lanes) {
      U16(cached).at[i] = uint16_t(bf16_bits(F32(x).at[i] * (factor * F32(p.norm).at[i])));
    }
  }
  const int pair_distance = (head_dim - latent_dim) / 2;
  for (int i = lane; i < pair_distance; i += n_lanes) {
    const int at = latent_dim + i;
    const float first = F32(x).at[at];
    const float second = F32(x).at[at + pair_distance];
    const vec2 turned = rotate(pair_rotation(position, F32(p.inv_freq).at[i], p.attention_factor), first, second);
    if (is_query) {
      F32(rotated_query).at[at] = growth * turned.x;
      F32(rotated_query).at[at + pair_distance] = growth * turned.y;
    } else {
      U16(cached).at[at] = uint16_t(bf16_bits(turned.x));
      U16(cached).at[at + pair_distance] = uint16_t(bf16_bits(turned.y));
    }
  }
}
