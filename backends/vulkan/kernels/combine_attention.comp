#version 460
// Adds up the shares of decode attention (decode_attention.comp) of every sequence that has several, in their order, by the rule of
// attention.glsl. The sink of a head joins the sum here. A thread takes four dimensions of a head's result.
//
// Grid         (ceil(n_heads * value_dim / 4 / 128), max_decode_splits): the workgroups of a sequence's first share add all of them
// Shapes       partial: [shares, n_heads, value_dim]; partial_softmax: [shares, n_heads, 2]; result: [T, n_heads, value_dim]
// Types        f32
// Accumulator  f32
// Aliasing     none
// Alignment    result and partial to 16 bytes, as value_dim is a multiple of 8
// Source       Flash-Decoding (Dao, Haziza, Massa, Sizov, 2023)
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 128) in;
PARAMETERS(AttentionParameters)
#include "attention.glsl"

void main() {
  const int first_share = int(gl_WorkGroupID.y);
  const DecodeShare share = read_share(first_share);
  if (share.seq < 0 || share.index > 0 || share.n_shares == 1) return;
  const int n_quads = p.value_dim / 4;  // of a head
  const int quad_of_token = int(gl_GlobalInvocationID.x);
  if (quad_of_token >= p.n_heads * n_quads) return;
  const int head = quad_of_token / n_quads;
  const Span span = span_of(share);
  const int n_shares = (span.n_seen + span.step - 1) / span.step;  // those that have positions

  float row_max = kNoScore;
  for (int s = 0; s < n_shares; ++s) {
    const uint64_t row = uint64_t(first_share + s) * uint64_t(p.n_heads) + uint64_t(head);
    const float m = F32(p.partial_softmax + row * 8).at[0];
    row_max = m > row_max ? m : row_max;
  }
  float total = weight_of_sink(head, row_max);
  vec4 sum = vec4(0.0);
  for (int s = 0; s < n_shares; ++s) {
    const uint64_t row = uint64_t(first_share + s) * uint64_t(p.n_heads);
    const uint64_t softmax = p.partial_softmax + (row + uint64_t(head)) * 8;
    const float weight = weight_of_part(F32(softmax).at[0], row_max);
    total += weight * F32(softmax).at[1];
    sum += weight * F32x4(p.partial + row * uint64_t(p.value_dim) * 4).at[quad_of_token];
  }
  F32x4(p.result + uint64_t(share.token) * uint64_t(p.n_heads) * uint64_t(p.value_dim) * 4).at[quad_of_token] = sum / total;
}
