#version 460
// Chooses the next token of every row of logits by backend_kit/sampling.h's rule, and reports the n_top most likely: the last of three
// kernels, after sample_pieces.comp and sample_bins.comp.
//
//   greedy:  the first token in the order (falling logit, then rising id)
//   draw:    mass(token) = exp((logit - max) / temperature), over the top_k first tokens, then over the shortest prefix of the order that
//            holds top_p of the mass; the token at which the running sum passes uniform * mass
//   logprob = logit - log(sum exp(logits))
//
// Shapes       logits: [L, vocab_size]; sampled: [L]; top: [L, n_top]; pieces: [L, ceil(vocab_size / 4096)]; bins: [L]
// Types        logits, logprob: f32; ids: int32
// Accumulators 64-bit integers in units of 2^-40 of the largest mass, as those of gpu/kernels/sample.cpp. There is no f64: the shares
//              uniform and top_p are fractions of 64 bits, and their products with a mass are exact
// Source       gpu/kernels/sample.cpp: radix select over masses instead of counts
//
// A workgroup takes a row. The pieces, merged, are all that a greedy row needs; each further of the n_top tokens rereads one piece.
//
// A draw sorts nothing. The workgroup looks for the bin in which a running sum reaches what is needed, and gathers the tokens of that one
// bin. Among them the token is found digit by digit of its key. So top_k, top_p and the draw itself each take at most one more pass over
// the row. A bin with more tokens than kGathered is not gathered: then each digit takes a pass over the row.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(SampleParameters)
#include "sample.glsl"

const int kDigits = 256;     // values of one 8-bit radix digit; each thread has one, and one of the bins
const int kGathered = 2048;  // tokens of one bin that fit into shared memory

/// kernels.h's SampledRow and backend/batch.h's TokenLogprob.
struct SampledRow {
  int id;
  float logprob;
  int finite;
  int unused;
};
struct TokenLogprob {
  int id;
  float logprob;
};
layout(buffer_reference, scalar, buffer_reference_align = 4) writeonly buffer SampledRows { SampledRow at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) writeonly buffer TokenLogprobs { TokenLogprob at[]; };

shared uint64_t gathered[kGathered];  // ranks
shared uint n_gathered;
shared uint sum_low[kDigits];
shared uint sum_high[kDigits];
shared uint bin_counts[kSampleBins];
shared int tie_counts[256];
shared int found_place;
shared uint64_t found_above;
shared int found_id;

/// The place, among kThreads that are in order, at which a running sum reaches what is needed.
struct Place {
  int index;
  uint64_t above;  // the sum before it
};

/// `own`: what this thread's place adds to the sum, which begins at `above`, below `needed`. With all places it reaches `needed`.
Place find_place(uint64_t own, uint64_t above, uint64_t needed) {
  const uint64_t before = above + sum_before(own);
  if (before < needed && before + own >= needed) {  // of one thread
    found_place = thread;
    found_above = before;
  }
  barrier();
  const Place place = Place(found_place, found_above);
  barrier();
  return place;
}

/// The tokens of one bin: their ranks in shared memory or, if they are too many, the row itself.
struct Candidates {
  int bin;
  int n;  // places to look at: gathered ranks, or tokens of the row
  bool is_gathered;
};

Candidates gather(Draw draw, int bin) {
  const uint n = bin_counts[bin];
  if (n > uint(kGathered)) return Candidates(bin, n_logits, false);
  barrier();  // ranks of another bin have been read by all
  if (thread == 0) n_gathered = 0u;
  barrier();
  for (int id = thread; id < n_logits; id += kThreads) {
    const uint bits = logit_bits(id);
    if (id == forbidden_id || bin_at(distance_of(draw, bits)) != bin) continue;
    gathered[min(atomicAdd(n_gathered, 1u), uint(kGathered - 1))] = rank_of(bits, id);
  }
  barrier();
  return Candidates(bin, int(n), true);
}

/// Whether there is a candidate at a place in [0, from.n), and its key.
bool key_at(Draw draw, Candidates from, int i, out uint key) {
  if (from.is_gathered) {
    key = uint(gathered[i] >> 32);
    return true;
  }
  const uint bits = logit_bits(i);
  key = key_of(bits);
  return i != forbidden_id && bin_at(distance_of(draw, bits)) == from.bin;
}

uint64_t mass_of_key(Draw draw, uint key) { return mass_at(distance_of(draw, bits_of_key(key))); }

/// The key at which a running sum over tokens, in their order, reaches what is needed.
struct Crossing {
  uint key;        // other tokens may share it
  uint64_t above;  // sum over all tokens with a larger key
};

/// Radix select among the candidates of the masses, or if `counts` of the number of tokens. The sum begins at `above`.
Crossing find_crossing(Draw draw, Candidates from, bool counts, uint64_t above, uint64_t needed) {
  uint prefix = 0u;
  for (int shift = 24; shift >= 0; shift -= 8) {
    sum_low[thread] = 0u;  // find_place() ended with a barrier
    sum_high[thread] = 0u;
    barrier();
    for (int i = thread; i < from.n; i += kThreads) {
      uint key;
      if (!key_at(draw, from, i, key)) continue;
      if (shift < 24 && key >> (shift + 8) != prefix) continue;
      const uint64_t mass = counts ? 1ul : mass_of_key(draw, key);
      const uint digit = key >> shift & 255u;
      const uint low = uint(mass & 0xfffffffful);
      const uint carry = atomicAdd(sum_low[digit], low) + low < low ? 1u : 0u;
      atomicAdd(sum_high[digit], uint(mass >> 32) + carry);
    }
    barrier();
    const int digit = kDigits - 1 - thread;  // larger digits come first
    const Place place = find_place(uint64_t(sum_high[digit]) << 32 | uint64_t(sum_low[digit]), above, needed);
    prefix = prefix << 8 | uint(kDigits - 1 - place.index);
    above = place.above;
  }
  return Crossing(prefix, above);
}

/// The id of the index-th token with this key, by rising id, of the row or of the gathered candidates, which have all tokens with it. There
/// are more than `index` of them.
int find_tie(Candidates from, uint key, uint64_t index) {
  barrier();  // an earlier result has been read by all
  if (from.is_gathered) {
    for (int i = thread; i < from.n; i += kThreads) {
      if (uint(gathered[i] >> 32) != key) continue;
      uint64_t before = 0ul;  // ties with a lower id have a larger rank
      for (int j = 0; j < from.n; ++j) {
        if (uint(gathered[j] >> 32) == key && gathered[j] > gathered[i]) ++before;
      }
      if (before == index) found_id = index_of_rank(gathered[i]);
    }
    barrier();
    return found_id;
  }
  const int n_each = (n_logits + kThreads - 1) / kThreads;
  const int begin = min(thread * n_each, n_logits);
  const int end = min(begin + n_each, n_logits);
  int n = 0;
  for (int id = begin; id < end; ++id) n += id != forbidden_id && key_of(logit_bits(id)) == key ? 1 : 0;
  tie_counts[thread] = n;
  barrier();
  uint64_t before = 0ul;
  for (int i = 0; i < thread; ++i) before += uint64_t(tie_counts[i]);
  if (before <= index && index < before + uint64_t(n)) {
    for (int id = begin; id < end; ++id) {
      if (id == forbidden_id || key_of(logit_bits(id)) != key) continue;
      if (before == index) found_id = id;
      ++before;
    }
  }
  barrier();
  return found_id;
}

/// A number in [0, 1) in units of 2^-64, from the bits of f64. All numbers that random_unit() gives are multiples of 2^-53.
uint64_t fraction_of_f64(uint64_t bits) {
  const int field = int(bits >> 52);
  const uint64_t mantissa = (bits & 0x000ffffffffffffful) | 0x0010000000000000ul;
  const int shift = field - 1011;
  if (field == 0 || shift <= -64) return 0ul;
  return shift >= 0 ? mantissa << min(shift, 11) : mantissa >> -shift;
}

/// The same from the bits of f32. `bits`: of a number below 1; negative numbers are 0.
uint64_t fraction_of_f32(uint bits) {
  const int field = int(bits >> 23);
  const uint64_t mantissa = uint64_t((bits & 0x007fffffu) | 0x00800000u);
  const int shift = field - 86;
  if (field == 0 || field > 255 || shift <= -64) return 0ul;
  return shift >= 0 ? mantissa << min(shift, 40) : mantissa >> -shift;
}

/// ceil(share * 2^-64 * mass), at least 1: the sum that is needed to reach a share of the mass.
uint64_t share_to_reach(uint64_t share, uint64_t mass) {
  const uint64_t whole = high_product(share, mass) + (share * mass != 0ul ? 1ul : 0ul);
  return whole > 0ul ? whole : 1ul;
}

/// The number of tokens of mass `each`, at least 1, with which a sum that begins at `above` reaches what is needed.
uint64_t ties_to_reach(uint64_t above, uint64_t each, uint64_t needed) {
  if (each == 0ul || needed <= above) return 1ul;
  return (needed - above + each - 1ul) / each;
}

// The three sums that a draw looks for, in this order.
const int kTopK = 0;
const int kTopP = 1;
const int kToken = 2;

int draw_token(int row, SampleRow params, Draw draw) {
  BinsOfRows bins = BinsOfRows(p.bins);
  const uint64_t bin_mass = uint64_t(bins.at[row].mass_high[thread]) << 32 | uint64_t(bins.at[row].mass_low[thread]);
  const uint bin_count = bins.at[row].count[thread];
  bin_counts[thread] = bin_count;
  barrier();
  const int n_candidates = n_logits - (forbidden_id >= 0 && forbidden_id < n_logits ? 1 : 0);
  const bool has_top_k = params.top_k > 0 && params.top_k < n_candidates;
  uint64_t kept = sum_wide(bin_mass);  // mass of the tokens that are drawn from
  Candidates candidates = Candidates(-1, 0, false);
  Crossing crossing = Crossing(0u, 0ul);
  uint64_t n_ties = 1ul;
  for (int phase = has_top_k ? kTopK : kTopP; phase <= kToken; ++phase) {
    if (phase == kTopP && !(params.top_p < 1.0)) continue;
    const bool counts = phase == kTopK;
    uint64_t needed = uint64_t(max(params.top_k, 1));
    if (phase == kTopP) needed = share_to_reach(fraction_of_f32(floatBitsToUint(params.top_p)), kept);
    if (phase == kToken) needed = high_product(fraction_of_f64(params.uniform_bits), kept) + 1ul;  // the sum passes the share
    const Place place = find_place(counts ? uint64_t(bin_count) : bin_mass, 0ul, needed);
    if (candidates.bin != place.index) candidates = gather(draw, place.index);
    crossing = find_crossing(draw, candidates, counts, place.above, needed);
    const uint64_t each = mass_of_key(draw, crossing.key);
    if (counts) {
      uint64_t larger = thread < place.index ? bin_mass : 0ul;
      for (int i = thread; i < candidates.n; i += kThreads) {
        uint key;
        if (key_at(draw, candidates, i, key) && key > crossing.key) larger += mass_of_key(draw, key);
      }
      kept = sum_wide(larger) + (needed - crossing.above) * each;
    } else {
      n_ties = ties_to_reach(crossing.above, each, needed);
      if (phase == kTopP) kept = crossing.above + n_ties * each;
    }
  }
  return find_tie(candidates, crossing.key, n_ties - 1ul);
}

/// log(sum(exp(logit - row_max))) of the whole row, merged from its pieces. `row_max`: bits of its largest logit.
float log_sum_exp(uint row_max) {
  const Temperature one = make_temperature(1.0);
  uint64_t sum = 0ul;
  for (int i = thread; i < n_pieces; i += kThreads) {
    const SamplePiece piece = SamplePieces(pieces).at[i];
    const uint64_t factor = exp_of_minus(distance_below(row_max, bits_of_rank(piece.best), one));  // in units of 2^-63
    sum += high_product(piece.sum << 1, factor);
  }
  return log_of_sum(sum_wide(sum));
}

/// The log-probability of a token. `bits`: of its logit; `row_max`: of the row's largest logit; `log_sum`: of log_sum_exp().
float logprob_of(uint bits, uint row_max, float log_sum) {
  precise const float below = uintBitsToFloat(bits) - uintBitsToFloat(row_max);
  precise const float logprob = below - log_sum;
  return logprob;
}

void main() {
  const int row = int(gl_WorkGroupID.x);
  if (row >= I32(p.batch.n_logit_rows).at[0]) return;
  const SampleRow params = SampleRows(p.batch.samples).at[row];
  begin_row(row);
  const uint64_t best = first_rank();
  if (best == kNotFinite) {
    if (thread != 0) return;
    SampledRows(p.sampled).at[row] = SampledRow(-1, 0.0, 0, 0);
    // The request of this row fails, but the next step may already be submitted and needs an id to embed.
    if (params.slot >= 0) I32(p.last_sampled).at[params.slot] = 0;
    return;
  }
  const uint row_max = bits_of_rank(best);
  const float log_sum = log_sum_exp(row_max);
  int id = params.forced_id;
  if (id < 0) {
    const uint64_t allowed = allowed_rank(best);
    id = allowed == 0ul ? -1 : index_of_rank(allowed);
    if (is_drawn(params) && allowed != 0ul) {
      id = draw_token(row, params, Draw(make_temperature(params.temperature), bits_of_rank(allowed)));
    }
  }
  if (thread == 0) {
    const float logprob = id < 0 ? 0.0 : logprob_of(logit_bits(id), row_max, log_sum);
    SampledRows(p.sampled).at[row] = SampledRow(id, logprob, 1, 0);
    if (params.slot >= 0) I32(p.last_sampled).at[params.slot] = max(id, 0);
  }
  uint64_t rank = best;
  for (int n = 0; n < p.n_top; ++n) {
    if (n > 0) rank = next_rank(rank);
    if (thread != 0) continue;
    TokenLogprobs(p.top + uint64_t(row) * uint64_t(p.n_top) * 8).at[n] =
        TokenLogprob(index_of_rank(rank), logprob_of(bits_of_rank(rank), row_max, log_sum));
  }
}
