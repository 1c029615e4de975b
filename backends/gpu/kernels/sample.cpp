// Chooses the next token of every row of logits by backend_kit/sampling.h's rule, and reports the n_top most likely.
//
//   greedy:  the first token in the order (falling logit, then rising id)
//   draw:    mass(token) = exp((logit - max) / temperature), over the top_k first tokens, then over the shortest prefix
//            of the order that holds top_p of the mass; the token at which the running sum passes uniform * mass
//   logprob = logit - log(sum exp(logits))
//
// Shapes       logits: [L, vocab_size]; sampled: [L]; top: [L, n_top];
//              pieces: [L, ceil(vocab_size / kSamplePieceLogits)], where a piece is 4096 neighbouring logits of one row;
//              bins: [L]
// Dtypes       logits, logprob: f32; ids: int32
// Accumulator  f64 for log-probabilities; 64-bit integers in units of 2^-40 of the largest mass for draws, so that sums
//              are exact and independent of the order of threads
// Aliasing     none
// Alignment    logits are read 16 bytes at a time where vocab_size is a multiple of 4
// Source       own: radix select over masses instead of counts
//
// sample_pieces_kernel reads the logits once, into registers, and finds per piece the first token and the sum of
// exponentials. sample_kernel merges the pieces in a fixed order, which is all that a greedy row needs; each further of the
// n_top tokens rereads one piece.
//
// A draw sorts nothing. All blocks of a row count its tokens and their masses by how far they are below the largest logit, in
// 256 bins that are ordered as the tokens are; the last block to arrive looks for the bin in which a running sum passes its
// target, and gathers the tokens of that one bin. Among them the token is found digit by digit of its key. So top_k, top_p and
// the draw itself each take at most one more pass over the row. A bin with more tokens than kGathered is not gathered: then each
// digit takes a pass over the row. Sums of 64 bits are made of native additions (warp.h); nothing spins.

#include "core/checked.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/rank.h"
#include "gpu/portable/last_block.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/storage.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kThreads = 256;
constexpr int kAtOnce = 4;  ///< logits of one 16-byte load
constexpr int kLoads = kSamplePieceLogits / (kThreads * kAtOnce);
static_assert(kLoads * kThreads * kAtOnce == kSamplePieceLogits);
constexpr int kDigits = 256;       ///< values of one 8-bit radix digit
constexpr int kGathered = 2048;    ///< tokens of one bin that fit into shared memory
constexpr float kBinsPerE = 8.0F;  ///< bins in which masses fall to a part of 1/e: the last bins have masses of 0
static_assert(kDigits == kThreads && kSampleBins == kThreads, "each thread has one of either");
constexpr double kMassUnits = 0x1p40;  ///< integer mass of the most likely token; 2^23 such tokens fit 64 bits
using Count = unsigned long long;

struct PieceShared {
  BlockScratch<double> of_double;
  BlockScratch<Count> of_count;
};

struct Shared {
  BlockScratch<double> of_double;
  BlockScratch<Count> of_count;
  BlockScratch<int> of_int;
  WideSum sums[kThreads];  ///< by bin, then by digit
  std::uint32_t counts[kSampleBins];
  Rank gathered[kGathered];
  std::uint32_t n_gathered;
  int n_ties[kThreads];
  int place;
  Count above;
  int id;
  int flag;
};

/// SamplePiece::best of a piece with a logit that is not finite. No finite logit has this rank.
constexpr Rank kNotFinite = ~Rank{0};

/// One row of logits with its sampling parameters and its pieces.
struct Row {
  const float* logits;
  int n;
  int forbidden_id;
  SamplePiece* pieces;
  int n_pieces;
};

SS_DEVICE int pieces_of(int n) {
  return (n + kSamplePieceLogits - 1) / kSamplePieceLogits;
}

/// Logits [first, first + kAtOnce) of a row; -inf past its end. A row that contains -inf itself is not sampled.
SS_DEVICE void load_logits(const Row& row, int first, float (&values)[kAtOnce]) {
  const bool aligned = row.n % kAtOnce == 0;  // then every row begins at a multiple of 16 bytes
  if (aligned && first < row.n) {
    const Chunk chunk = load_chunk(row.logits + first);
    SS_UNROLL
    for (int i = 0; i < kAtOnce; ++i) values[i] = bits_as<float>(chunk.word[i]);
    return;
  }
  SS_UNROLL
  for (int i = 0; i < kAtOnce; ++i) values[i] = first + i < row.n ? row.logits[first + i] : -INFINITY;
}

/// Calls visit(id, logit) for every token of [begin, end), each on one thread of the block. `begin` is a multiple of
/// kAtOnce; each thread has `kInFlight` loads in flight.
template <int kInFlight, typename Visit>
SS_DEVICE void visit_tokens(const Row& row, int begin, int end, const Visit& visit) {
  constexpr int kStride = kAtOnce * kThreads;
  for (int first = begin + kAtOnce * thread_x(); first < end; first += kInFlight * kStride) {
    float values[kInFlight][kAtOnce];
    SS_UNROLL
    for (int load = 0; load < kInFlight; ++load) load_logits(row, first + load * kStride, values[load]);
    SS_UNROLL
    for (int load = 0; load < kInFlight; ++load) {
      SS_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        const int id = first + load * kStride + i;
        if (id < end) visit(id, values[load][i]);
      }
    }
  }
}

/// The same for the tokens of one piece.
template <typename Visit>
SS_DEVICE void visit_piece(const Row& row, int piece, const Visit& visit) {
  const int begin = piece * kSamplePieceLogits;
  const int end = begin + kSamplePieceLogits < row.n ? begin + kSamplePieceLogits : row.n;
  visit_tokens<kLoads>(row, begin, end, visit);
}

/// The same for all tokens of the row except the forbidden one.
template <int kInFlight, typename Visit>
SS_DEVICE void visit_allowed(const Row& row, const Visit& visit) {
  visit_tokens<kInFlight>(row, 0, row.n, [&](int id, float logit) {
    if (id != row.forbidden_id) visit(id, logit);
  });
}

/// The largest rank that the pieces still hold; 0 if none.
SS_DEVICE Rank first_rank(const Row& row, Shared& shared) {
  Rank best = 0;
  for (int piece = thread_x(); piece < row.n_pieces; piece += kThreads) best = max_rank(best, row.pieces[piece].best);
  return reduce_block(best, shared.of_count, max_rank);
}

/// Removes `before`, the result of first_rank(), from its piece and returns the rank after it; 0 if none. May be called
/// again with the result.
SS_DEVICE Rank next_rank(const Row& row, Rank before, Shared& shared) {
  const int piece = index_of_rank(before) / kSamplePieceLogits;
  Rank best = 0;
  visit_piece(row, piece, [&](int id, float logit) {
    const Rank rank = rank_of(logit, id);
    if (rank < before) best = max_rank(best, rank);
  });
  best = reduce_block(best, shared.of_count, max_rank);
  // first_rank() reads this piece on the same thread, so no barrier is needed.
  if (thread_x() == piece % kThreads) row.pieces[piece].best = best;
  return first_rank(row, shared);
}

/// The parameters of a draw from a row.
struct Draw {
  const SampleRow& params;
  float row_max;  ///< the largest allowed logit

  /// Monotone: a token with a larger logit is never in a later bin.
  [[nodiscard]] SS_DEVICE int bin_of(float logit) const {
    const float per_logit = kBinsPerE / params.temperature;
    constexpr float kMost = 1e30F;  // 0 times infinity is no number
    const float at = (row_max - logit) * (per_logit < kMost ? per_logit : kMost);
    return at < kSampleBins - 1 ? static_cast<int>(at) : kSampleBins - 1;
  }
  [[nodiscard]] SS_DEVICE Count mass_of(std::uint32_t key) const {
    return static_cast<Count>(kMassUnits * exp((static_cast<double>(number_of(key)) - static_cast<double>(row_max)) /
                                               static_cast<double>(params.temperature)));
  }
};

/// The place, among kThreads that are in order, at which a running sum is first >= target (> if `strictly`).
struct Place {
  int index;
  Count above;  ///< sum before it, and `above` of the call
};

/// `own`: what this thread's place adds to the sum, which begins at `above`. If rounding puts the target past the total, it
/// is the last place that adds anything.
SS_DEVICE Place find_place(Count own, Count above, double target, bool strictly, Shared& shared) {
  const Count before = above + exclusive_sum(own, shared.of_count);
  const auto reached = static_cast<double>(before + own);
  const bool is_reached = own > 0 && (strictly ? reached > target : reached >= target);
  const int first =
      reduce_block(is_reached ? thread_x() : kThreads, shared.of_int, [](int a, int b) { return a < b ? a : b; });
  const int last = reduce_block(own > 0 ? thread_x() : 0, shared.of_int, [](int a, int b) { return b > a ? b : a; });
  if (thread_x() == (first < kThreads ? first : last)) {
    shared.place = thread_x();
    shared.above = before;
  }
  sync_block();
  const Place place{shared.place, shared.above};
  sync_block();
  return place;
}

/// The tokens of one bin: their ranks in shared memory or, if they are too many, the row itself.
struct Candidates {
  int bin = -1;
  int n = 0;
  bool is_gathered = false;
};

/// Calls visit(key) for every candidate, each on one thread of the block.
template <typename Visit>
SS_DEVICE void visit_candidates(const Row& row, const Draw& draw, const Candidates& from, Shared& shared,
                                const Visit& visit) {
  if (from.is_gathered) {
    for (int i = thread_x(); i < from.n; i += kThreads) visit(static_cast<std::uint32_t>(shared.gathered[i] >> 32));
    return;
  }
  visit_allowed<1>(row, [&](int, float logit) {
    if (draw.bin_of(logit) == from.bin) visit(key_of(logit));
  });
}

SS_DEVICE Candidates gather(const Row& row, const Draw& draw, int bin, Shared& shared) {
  const Candidates found{bin, static_cast<int>(shared.counts[bin]), shared.counts[bin] <= kGathered};
  if (!found.is_gathered) return found;
  sync_block();
  if (thread_x() == 0) shared.n_gathered = 0;
  sync_block();
  visit_allowed<2 * kLoads>(row, [&](int id, float logit) {
    if (draw.bin_of(logit) == bin) shared.gathered[fetch_add(&shared.n_gathered, 1)] = rank_of(logit, id);
  });
  sync_block();
  return found;
}

/// The key at which a running sum over tokens, in their order, reaches a target.
struct Crossing {
  std::uint32_t key;  ///< other tokens may share it
  Count above;        ///< sum over all tokens with a larger key
};

/// What a running sum adds up.
enum class Weight : std::uint8_t { kCount, kMass };

/// Radix select among the candidates: the key at which the running sum, which begins at `above`, is first >= target (> if
/// `strictly`).
SS_DEVICE Crossing find_crossing(const Row& row, const Draw& draw, const Candidates& from, Weight weight, Count above,
                                 double target, bool strictly, Shared& shared) {
  std::uint32_t prefix = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    sync_block();
    shared.sums[thread_x()] = {0, 0};
    sync_block();
    visit_candidates(row, draw, from, shared, [&](std::uint32_t key) {
      if (shift < 24 && key >> (shift + 8) != prefix) return;
      add_shared(&shared.sums[key >> shift & 255U], weight == Weight::kCount ? 1 : draw.mass_of(key));
    });
    sync_block();
    // Larger digits come first.
    const Place place = find_place(shared.sums[kDigits - 1 - thread_x()].value(), above, target, strictly, shared);
    prefix = prefix << 8 | static_cast<std::uint32_t>(kDigits - 1 - place.index);
    above = place.above;
  }
  return {prefix, above};
}

/// The id of the index-th token of the row with this key, by rising id; the last one if there are fewer.
SS_DEVICE int find_tie_in_row(const Row& row, std::uint32_t key, Count index, Shared& shared) {
  const int n_each = (row.n + kThreads - 1) / kThreads;
  const int begin = thread_x() * n_each;
  const int end = begin + n_each < row.n ? begin + n_each : row.n;
  int n = 0;
  for (int id = begin; id < end; ++id) n += id != row.forbidden_id && key_of(row.logits[id]) == key ? 1 : 0;
  sync_block();
  shared.n_ties[thread_x()] = n;
  sync_block();
  Count before = 0;
  Count total = 0;
  for (int i = 0; i < kThreads; ++i) {
    if (i == thread_x()) before = total;
    total += static_cast<Count>(shared.n_ties[i]);
  }
  if (index >= total) index = total - 1;
  if (before <= index && index < before + static_cast<Count>(n)) {
    for (int id = begin; id < end; ++id) {
      if (id == row.forbidden_id || key_of(row.logits[id]) != key) continue;
      if (before++ == index) shared.id = id;
    }
  }
  sync_block();
  return shared.id;
}

/// The same for the candidates, among which are all tokens with this key.
SS_DEVICE int find_tie(const Row& row, const Candidates& from, std::uint32_t key, Count index, Shared& shared) {
  if (!from.is_gathered) return find_tie_in_row(row, key, index, shared);
  const auto has_key = [&](int i) { return static_cast<std::uint32_t>(shared.gathered[i] >> 32) == key; };
  int n_mine = 0;
  for (int i = thread_x(); i < from.n; i += kThreads) n_mine += has_key(i) ? 1 : 0;
  const int n_ties = reduce_block(n_mine, shared.of_int, [](int a, int b) { return a + b; });
  if (index >= static_cast<Count>(n_ties)) index = static_cast<Count>(n_ties - 1);
  for (int i = thread_x(); i < from.n; i += kThreads) {
    if (!has_key(i)) continue;
    Count before = 0;  // ties with a lower id have a larger rank
    for (int j = 0; j < from.n; ++j) before += has_key(j) && shared.gathered[j] > shared.gathered[i] ? 1 : 0;
    if (before == index) shared.id = index_of_rank(shared.gathered[i]);
  }
  sync_block();
  return shared.id;
}

/// The smallest n >= 1 with above + n * each >= target (> if `strictly`).
SS_DEVICE Count ties_to_reach(Count above, Count each, double target, bool strictly) {
  Count n = 1;
  const double missing = target - static_cast<double>(above);
  if (missing > 0.0 && each > 0) n = static_cast<Count>(missing / static_cast<double>(each));
  // The division may round in either direction: correct it.
  const auto reaches = [&](Count count) {
    const auto sum = static_cast<double>(above + count * each);
    return strictly ? sum > target : sum >= target;
  };
  while (n > 1 && reaches(n - 1)) --n;
  if (n == 0 || !reaches(n)) ++n;
  return n;
}

SS_DEVICE Count sum_counts(Count value, Shared& shared) {
  return reduce_block(value, shared.of_count, [](Count a, Count b) { return a + b; });
}

/// The three sums that a draw looks for, in this order.
enum class Phase : std::uint8_t { kTopK, kTopP, kToken };

/// Called by the block that has the row's `bins`, complete.
SS_DEVICE int draw_token(const Row& row, const Draw& draw, const SampleBins& bins, Shared& shared) {
  const SampleRow& params = draw.params;
  const Count bin_mass = bins.mass[thread_x()];
  const Count bin_count = bins.count[thread_x()];
  sync_block();
  shared.counts[thread_x()] = static_cast<std::uint32_t>(bin_count);
  sync_block();
  const int n_candidates = row.n - (params.forbidden_id >= 0 && params.forbidden_id < row.n ? 1 : 0);
  const bool has_top_k = params.top_k > 0 && params.top_k < n_candidates;
  Candidates candidates;
  Count kept = has_top_k ? 0 : sum_counts(bin_mass, shared);  // mass of the tokens that are drawn from
  Crossing crossing{0, 0};
  Count n_ties = 0;
  // One loop for the three phases, so that its code is compiled once.
  for (int i = has_top_k ? 0 : 1; i < 3; ++i) {
    const auto phase = static_cast<Phase>(i);
    if (phase == Phase::kTopP && !(params.top_p < 1.0F)) continue;
    const bool counts = phase == Phase::kTopK;
    const bool strictly = phase == Phase::kToken;
    const double share = strictly ? params.uniform : static_cast<double>(params.top_p);
    const double target = counts ? static_cast<double>(params.top_k) : share * static_cast<double>(kept);
    const Place place = find_place(counts ? bin_count : bin_mass, 0, target, strictly, shared);
    if (candidates.bin != place.index) candidates = gather(row, draw, place.index, shared);
    crossing = find_crossing(row, draw, candidates, counts ? Weight::kCount : Weight::kMass, place.above, target,
                             strictly, shared);
    const Count each = draw.mass_of(crossing.key);
    if (counts) {
      Count larger = thread_x() < place.index ? bin_mass : 0;
      visit_candidates(row, draw, candidates, shared, [&](std::uint32_t key) {
        if (key > crossing.key) larger += draw.mass_of(key);
      });
      kept = sum_counts(larger, shared) + (static_cast<Count>(params.top_k) - crossing.above) * each;
      continue;
    }
    n_ties = ties_to_reach(crossing.above, each, target, strictly);
    if (phase == Phase::kTopP) kept = crossing.above + n_ties * each;
  }
  return find_tie(row, candidates, crossing.key, n_ties - 1, shared);
}

SS_DEVICE Row row_of(const SampleArguments& a, int index) {
  const int n_pieces = pieces_of(a.vocab_size);
  return {.logits = a.logits + std::int64_t{index} * a.vocab_size,
          .n = a.vocab_size,
          .forbidden_id = a.batch.samples[index].forbidden_id,
          .pieces = a.pieces + std::int64_t{index} * n_pieces,
          .n_pieces = n_pieces};
}

SS_KERNEL(kThreads) sample_pieces_kernel(SampleArguments a) {
  wait_for_earlier_kernels();
  const int index = block_y();
  if (index >= *a.batch.n_logit_rows) return;
  auto& shared = shared_memory<PieceShared>();
  const Row row = row_of(a, index);
  const int first = block_x() * kSamplePieceLogits + thread_x() * kAtOnce;
  const auto first_of = [&](int load) { return first + load * kThreads * kAtOnce; };
  float logits[kLoads][kAtOnce];
  SS_UNROLL
  for (int load = 0; load < kLoads; ++load) load_logits(row, first_of(load), logits[load]);
  Rank best = 0;
  SS_UNROLL
  for (int load = 0; load < kLoads; ++load) {
    SS_UNROLL
    for (int i = 0; i < kAtOnce; ++i) {
      const int id = first_of(load) + i;
      const float logit = logits[load][i];
      const bool finite = logit * 0.0F == 0.0F;
      if (id < row.n) best = max_rank(best, finite ? rank_of(logit, id) : kNotFinite);
    }
  }
  best = reduce_block(best, shared.of_count, max_rank);
  const float row_max = number_of(static_cast<std::uint32_t>(best >> 32));
  double sum = 0.0;
  SS_UNROLL
  for (int load = 0; load < kLoads; ++load) {
    SS_UNROLL
    for (int i = 0; i < kAtOnce; ++i) sum += static_cast<double>(expf(logits[load][i] - row_max));
  }
  sum = reduce_block(sum, shared.of_double, [](double p, double q) { return p + q; });
  if (thread_x() == 0) row.pieces[block_x()] = {best, sum};
  if (block_x() != 0) return;
  SampleBins& bins = a.bins[index];
  bins.mass[thread_x()] = 0;
  bins.count[thread_x()] = 0;
  if (thread_x() == 0) bins.n_arrived = 0;
}

/// log(sum(exp(logits))) of the whole row, merged from its pieces; `row_max` is the row's maximum.
SS_DEVICE double log_sum_exp(const Row& row, double row_max, Shared& shared) {
  double sum = 0.0;
  for (int piece = thread_x(); piece < row.n_pieces; piece += kThreads) {
    const double piece_max = static_cast<double>(number_of(static_cast<std::uint32_t>(row.pieces[piece].best >> 32)));
    sum += row.pieces[piece].sum * exp(piece_max - row_max);
  }
  return row_max + log(reduce_block(sum, shared.of_double, [](double p, double q) { return p + q; }));
}

/// The largest rank among the allowed tokens; 0 if none. `best`: the largest rank among all tokens. Leaves the pieces as they are.
SS_DEVICE Rank allowed_rank(const Row& row, Rank best, Shared& shared) {
  if (index_of_rank(best) != row.forbidden_id) return best;
  const int forbidden_piece = index_of_rank(best) / kSamplePieceLogits;
  Rank rest = 0;
  for (int other = thread_x(); other < row.n_pieces; other += kThreads) {
    if (other != forbidden_piece) rest = max_rank(rest, row.pieces[other].best);
  }
  visit_piece(row, forbidden_piece, [&](int id, float logit) {
    if (id != row.forbidden_id) rest = max_rank(rest, rank_of(logit, id));
  });
  return reduce_block(rest, shared.of_count, max_rank);
}

/// Adds the tokens of this block's piece to the row's bins.
SS_DEVICE void count_piece(const Row& row, const Draw& draw, SampleBins& bins, Shared& shared) {
  sync_block();
  shared.sums[thread_x()] = {0, 0};
  shared.counts[thread_x()] = 0;
  sync_block();
  visit_piece(row, block_x(), [&](int id, float logit) {
    if (id == row.forbidden_id) return;
    const int bin = draw.bin_of(logit);
    add_shared(&shared.counts[bin], 1);
    add_shared(&shared.sums[bin], draw.mass_of(key_of(logit)));
  });
  sync_block();
  const std::uint32_t count = shared.counts[thread_x()];
  if (count == 0) return;
  add_device(&bins.count[thread_x()], count);
  add_device(&bins.mass[thread_x()], shared.sums[thread_x()].value());
}

SS_KERNEL(kThreads) sample_kernel(SampleArguments a) {
  wait_for_earlier_kernels();
  const int index = block_y();
  if (index >= *a.batch.n_logit_rows) return;
  auto& shared = shared_memory<Shared>();
  const SampleRow params = a.batch.samples[index];
  const bool draws = params.forced_id < 0 && params.temperature > 0.0F;
  // One block is enough for a row that is not drawn from.
  if (!draws && block_x() > 0) return;
  const Row row = row_of(a, index);
  const Rank best = first_rank(row, shared);
  const Rank allowed = best == kNotFinite ? best : allowed_rank(row, best, shared);
  const bool has_tokens = best != kNotFinite && allowed != 0;
  if (draws && !has_tokens && block_x() > 0) return;
  const Draw draw{params, has_tokens ? row.logits[index_of_rank(allowed)] : 0.0F};
  if (draws && has_tokens) {
    count_piece(row, draw, a.bins[index], shared);
    if (!is_last_block(&a.bins[index].n_arrived, row.n_pieces, shared.flag)) return;
  }
  SampledRow& sampled = a.sampled[index];
  if (best == kNotFinite) {
    if (thread_x() != 0) return;
    sampled = {-1, 0.0F, 0, 0};
    // The request of this row fails, but the next step may already be submitted and needs an id to embed.
    if (params.slot >= 0) a.last_sampled[params.slot] = 0;
    return;
  }
  const double normalizer = log_sum_exp(row, static_cast<double>(row.logits[index_of_rank(best)]), shared);

  int id = params.forced_id;
  if (id < 0) {
    id = allowed == 0 ? -1 : index_of_rank(allowed);
    if (draws && allowed != 0) id = draw_token(row, draw, a.bins[index], shared);
  }
  if (thread_x() == 0) {
    const float logprob = id < 0 ? 0.0F : static_cast<float>(static_cast<double>(row.logits[id]) - normalizer);
    sampled = {id, logprob, 1, 0};
    if (params.slot >= 0) a.last_sampled[params.slot] = id < 0 ? 0 : id;
  }
  Rank rank = best;
  for (int n = 0; n < a.n_top; ++n) {
    if (n > 0) rank = next_rank(row, rank, shared);
    if (thread_x() != 0) continue;
    const double logit = static_cast<double>(row.logits[index_of_rank(rank)]);
    a.top[std::int64_t{index} * a.n_top + n] = {index_of_rank(rank), static_cast<float>(logit - normalizer)};
  }
}

}  // namespace

Result<void> launch_sample(const LaunchContext& context, const SampleArguments& arguments) {
  const auto n_rows = static_cast<std::uint32_t>(arguments.max_rows);
  const auto n_pieces = static_cast<std::uint32_t>(ceil_divide(arguments.vocab_size, kSamplePieceLogits));
  SS_TRY_VOID(launch(context.stream, "sample_pieces", sample_pieces_kernel,
                     {.grid = {n_pieces, n_rows}, .threads = kThreads, .shared_bytes = sizeof(PieceShared)},
                     arguments));
  return launch(context.stream, "sample", sample_kernel,
                {.grid = {n_pieces, n_rows}, .threads = kThreads, .shared_bytes = sizeof(Shared)}, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
