#version 460
// The second of the kernels that choose tokens (sample.comp): counts the tokens of the rows that are drawn from, and their masses, by how
// far they are below the largest logit, in 256 bins that are ordered as the tokens are.
//
// Shapes       logits: [L, vocab_size]; pieces: [L, ceil(vocab_size / 4096)], of sample_pieces.comp; bins: [L], zeros
// Types        logits: f32; masses: 64-bit integers in units of 2^-40, whose sums are exact; counts: uint32
//
// A workgroup takes a piece (x) of a row (y). It adds its tokens up in shared memory, and then adds the bins that have tokens to those of
// the row.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(SampleParameters)
#include "sample.glsl"

shared uint mass_low[kSampleBins];
shared uint mass_high[kSampleBins];
shared uint count[kSampleBins];

void main() {
  const int row = int(gl_WorkGroupID.y);
  if (row >= I32(p.batch.n_logit_rows).at[0]) return;
  const SampleRow params = SampleRows(p.batch.samples).at[row];
  if (!is_drawn(params)) return;
  begin_row(row);
  const uint64_t best = first_rank();
  if (best == kNotFinite) return;
  const uint64_t allowed = allowed_rank(best);
  if (allowed == 0ul) return;
  const Draw draw = Draw(make_temperature(params.temperature), bits_of_rank(allowed));
  mass_low[thread] = 0u;
  mass_high[thread] = 0u;
  count[thread] = 0u;
  barrier();
  const int begin = int(gl_WorkGroupID.x) * kSamplePieceLogits;
  const int end = min(begin + kSamplePieceLogits, n_logits);
  for (int id = begin + thread; id < end; id += kThreads) {
    if (id == forbidden_id) continue;
    const uint64_t distance = distance_of(draw, logit_bits(id));
    const uint64_t mass = mass_at(distance);
    const int bin = bin_at(distance);
    atomicAdd(count[bin], 1u);
    const uint low = uint(mass & 0xfffffffful);
    const uint carry = atomicAdd(mass_low[bin], low) + low < low ? 1u : 0u;
    atomicAdd(mass_high[bin], uint(mass >> 32) + carry);
  }
  barrier();
  if (count[thread] == 0u) return;
  BinsOfRows bins = BinsOfRows(p.bins);
  atomicAdd(bins.at[row].count[thread], count[thread]);
  const uint low = mass_low[thread];
  const uint carry = atomicAdd(bins.at[row].mass_low[thread], low) + low < low ? 1u : 0u;
  atomicAdd(bins.at[row].mass_high[thread], mass_high[thread] + carry);
}
