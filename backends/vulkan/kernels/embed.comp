#version 460
// Looks up the rows of an embedding table: out[t] = scale * table[id of t] (gpu/kernels/rows.cpp's embed).
//
// Shapes       table: [vocab_size, n_cols]; out: [tokens, n_cols]
// Types        table: the encoding that the specialization constant kEncoding says (weight.glsl); out: f32
//
// The id of a token is in the batch, or -1 where it is the last id that was sampled for the token's slot. A workgroup takes a token, and a
// thread eight columns at a time.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(EmbedParameters)
#include "weight.glsl"

void main() {
  const int token = int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x);
  if (token >= I32(p.batch.n_tokens).at[0]) return;
  int id = I32(p.batch.token_ids).at[token];
  if (id < 0) {
    const int slot = I32(p.batch.token_slots).at[token];
    id = slot < 0 ? 0 : I32(p.last_sampled).at[slot];  // padding tokens embed id 0, so that they stay finite
  }
  const Weight table = p.table;
  const float scale = p.scale;
  const uint64_t result = p.result + uint64_t(token) * uint64_t(table.n_cols) * 4;
  for (int col = int(gl_LocalInvocationID.x) * 8; col < table.n_cols; col += int(gl_WorkGroupSize.x) * 8) {
    float values[8];
    weight_eight(table, id, col, values);
    [[unroll]] for (int i = 0; i < 8; ++i) {
      if (col + i < table.n_cols) F32(result).at[col + i] = scale * values[i];
    }
  }
}
