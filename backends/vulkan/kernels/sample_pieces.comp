#version 460
// The first of the kernels that choose tokens (sample.comp): finds, for each piece of 4096 neighbouring logits of a row, the first token in
// the order (falling logit, then rising id) and the sum of exp(logit - its logit).
//
// Shapes       logits: [L, vocab_size]; pieces: [L, ceil(vocab_size / 4096)]; bins: [L], which it clears
// Types        logits: f32; sums: 64-bit integers in units of 2^-40
//
// A workgroup takes a piece (x) of a row (y), and reads its logits once, into registers.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(SampleParameters)
#include "sample.glsl"

const int kLogitsPerThread = kSamplePieceLogits / 256;

void main() {
  const int row = int(gl_WorkGroupID.y);
  const int piece = int(gl_WorkGroupID.x);
  if (row >= I32(p.batch.n_logit_rows).at[0]) return;
  begin_row(row);
  const int first = piece * kSamplePieceLogits + thread;
  uint bits[kLogitsPerThread];
  [[unroll]] for (int i = 0; i < kLogitsPerThread; ++i) {
    const int id = first + i * kThreads;
    bits[i] = id < n_logits ? logit_bits(id) : 0u;
  }
  uint64_t best = 0ul;
  [[unroll]] for (int i = 0; i < kLogitsPerThread; ++i) {
    const int id = first + i * kThreads;
    const bool finite = (bits[i] & 0x7f800000u) != 0x7f800000u;
    if (id < n_logits) best = larger_of(best, finite ? rank_of(bits[i], id) : kNotFinite);
  }
  best = largest_wide(best);
  uint64_t sum = 0ul;
  if (best != kNotFinite) {
    const float piece_max = uintBitsToFloat(bits_of_rank(best));
    [[unroll]] for (int i = 0; i < kLogitsPerThread; ++i) {
      if (first + i * kThreads < n_logits) sum += units_of(exponential(uintBitsToFloat(bits[i]) - piece_max));
    }
  }
  sum = sum_wide(sum);
  if (thread == 0) SamplePieces(pieces).at[piece] = SamplePiece(best, sum);
  if (piece != 0) return;
  BinsOfRows bins = BinsOfRows(p.bins);
  bins.at[row].mass_low[thread] = 0u;
  bins.at[row].mass_high[thread] = 0u;
  bins.at[row].count[thread] = 0u;
}
