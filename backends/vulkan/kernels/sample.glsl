// What the kernels of sampling have in common (sample.comp): a row of logits, its pieces and its bins, and the masses of its tokens.
//
// Logits are handled by their bits. Masses and sums of exponentials are integers in units of 2^-40, so that sums are exact and independent
// of the order of threads; those of a row of 2^23 equal logits fit 64 bits. The mass of a token is
// floor(2^40 exp((logit - max) / temperature)), computed by integers alone (exponential.glsl).

#include "exponential.glsl"
#include "rank.glsl"
#include "wide_reduce.glsl"

/// kernels.h's SampleRow.
struct SampleRow {
  uint64_t uniform_bits;  // of a number in [0, 1) in f64
  float temperature;
  float top_p;
  int top_k;
  int forced_id;
  int forbidden_id;
  int slot;
};

/// In the bytes of kernels.h's SamplePiece.
struct SamplePiece {
  uint64_t best;  // rank of its first token
  uint64_t sum;   // of exp(logit - that token's logit), in units of 2^-40
};

/// In the bytes of kernels.h's SampleBins. Masses have two halves, because few devices add 64 bits at once.
struct SampleBins {
  uint mass_low[kSampleBins];
  uint mass_high[kSampleBins];
  uint count[kSampleBins];
  uint unused_low;
  uint unused_high;
};

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer SampleRows { SampleRow at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer SamplePieces { SamplePiece at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer BinsOfRows { SampleBins at[]; };

/// SamplePiece::best of a piece with a logit that is not finite. No finite logit has this rank.
const uint64_t kNotFinite = 0xfffffffffffffffful;

const int kThreads = int(gl_WorkGroupSize.x);
int thread = int(gl_LocalInvocationID.x);

// The row of the workgroup, set by begin_row().
uint64_t logits;  // address
uint64_t pieces;  // address
int n_logits;
int n_pieces;
int forbidden_id;

void begin_row(int row) {
  n_logits = p.vocab_size;
  n_pieces = (n_logits + kSamplePieceLogits - 1) / kSamplePieceLogits;
  logits = p.logits + uint64_t(row) * uint64_t(n_logits) * 4;
  pieces = p.pieces + uint64_t(row) * uint64_t(n_pieces) * 16;
  forbidden_id = SampleRows(p.batch.samples).at[row].forbidden_id;
}

uint logit_bits(int id) { return U32(logits).at[id]; }

/// Whether a token is drawn from the row; else its id is forced or the first.
bool is_drawn(SampleRow params) { return params.forced_id < 0 && params.temperature > 0.0; }

/// The largest rank that the pieces hold; 0 if none. Every thread must call this function and the next two.
uint64_t first_rank() {
  uint64_t best = 0ul;
  for (int piece = thread; piece < n_pieces; piece += kThreads) best = larger_of(best, SamplePieces(pieces).at[piece].best);
  return largest_wide(best);
}

/// Removes `before`, the result of first_rank(), from its piece and returns the rank after it; 0 if none. May be called again with the
/// result.
uint64_t next_rank(uint64_t before) {
  const int piece = index_of_rank(before) / kSamplePieceLogits;
  const int begin = piece * kSamplePieceLogits;
  const int end = min(begin + kSamplePieceLogits, n_logits);
  uint64_t best = 0ul;
  for (int id = begin + thread; id < end; id += kThreads) {
    const uint64_t rank = rank_of(logit_bits(id), id);
    if (rank < before) best = larger_of(best, rank);
  }
  best = largest_wide(best);
  // first_rank() reads this piece on the same thread, so that no barrier is needed.
  if (thread == piece % kThreads) SamplePieces(pieces).at[piece].best = best;
  return first_rank();
}

/// The largest rank among the allowed tokens; 0 if none. `best`: the largest rank among all tokens. Leaves the pieces as they are.
uint64_t allowed_rank(uint64_t best) {
  if (index_of_rank(best) != forbidden_id) return best;
  const int forbidden_piece = forbidden_id / kSamplePieceLogits;
  const int begin = forbidden_piece * kSamplePieceLogits;
  const int end = min(begin + kSamplePieceLogits, n_logits);
  uint64_t rest = 0ul;
  for (int piece = thread; piece < n_pieces; piece += kThreads) {
    if (piece != forbidden_piece) rest = larger_of(rest, SamplePieces(pieces).at[piece].best);
  }
  for (int id = begin + thread; id < end; id += kThreads) {
    if (id != forbidden_id) rest = larger_of(rest, rank_of(logit_bits(id), id));
  }
  return largest_wide(rest);
}

/// The parameters of a draw from a row.
struct Draw {
  Temperature temperature;
  uint row_max;  // bits of the largest allowed logit
};

uint64_t distance_of(Draw draw, uint bits) { return distance_below(draw.row_max, bits, draw.temperature); }
uint64_t mass_at(uint64_t distance) { return exp_of_minus(distance) >> (63 - kUnitBits); }

/// The bin of a token, by how far it is below the largest: eight for each factor of e. A token with a larger logit is never in a later bin,
/// and the tokens of the last bin have masses of 0.
int bin_at(uint64_t distance) { return min(int(distance >> 54), kSampleBins - 1); }
