// Chooses the next token of every row of logits by backend_kit/sampling.h's rule, and reports the n_top most likely.
//
//   greedy:  the first token in the order (falling logit, then rising id)
//   draw:    mass(token) = exp((logit - max) / temperature), over the top_k first tokens, then over the shortest prefix
//            of the order that holds top_p of the mass; the token at which the running sum passes uniform * mass
//   logprob = logit - log(sum exp(logits))
//
// Shapes       logits: [L, vocab_size]; sampled: [L]; top: [L, n_top];
//              pieces: [L, ceil(vocab_size / kSamplePieceLogits)], a piece being 4096 neighbouring logits of one row
// Dtypes       logits, logprob: f32; ids: int32
// Accumulator  f64 for log-probabilities; 64-bit integers in units of 2^-40 of the largest mass for draws, so that sums
//              are exact and independent of the order of threads
// Aliasing     none
// Alignment    logits are read 16 bytes at a time where vocab_size is a multiple of 4
// Source       own: radix select over masses instead of counts
//
// sample_pieces_kernel reads the logits once, into registers, and finds per piece the first token and the sum of
// exponentials. sample_kernel takes one block per row and merges the pieces in a fixed order, which is all that a greedy
// row needs; each further of the n_top tokens rereads one piece. A draw sorts nothing: the token at which the running sum
// passes a target is found digit by digit of its key, from histograms of mass.

#include "core/checked.h"
#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/storage.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kThreads = 256;
constexpr int kAtOnce = 4;  ///< logits of one 16-byte load
constexpr int kLoads = kSamplePieceLogits / (kThreads * kAtOnce);
static_assert(kLoads * kThreads * kAtOnce == kSamplePieceLogits);
constexpr int kDigits = 256;           ///< values of one 8-bit radix digit
constexpr double kMassUnits = 0x1p40;  ///< integer mass of the most likely token; 2^23 such tokens fit 64 bits
using Count = unsigned long long;

struct PieceShared {
  BlockScratch<double> of_double;
  BlockScratch<Count> of_count;
};

struct Shared {
  BlockScratch<double> of_double;
  BlockScratch<Count> of_count;
  Count histogram[kDigits];
  int n_ties[kThreads];
  std::uint32_t key;
  Count above;
  int id;
};

/// Order-preserving key: larger logits have larger unsigned keys; -0 and 0 have the same.
SS_DEVICE std::uint32_t key_of(float logit) {
  const auto bits = bits_as<std::uint32_t>(logit + 0.0F);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

SS_DEVICE float logit_of(std::uint32_t key) {
  return bits_as<float>((key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key);
}

/// Rank of a token in the order of falling logits, ties to the lower id. The largest rank comes first; 0: no token.
SS_DEVICE Count rank_of(float logit, int id) {
  return static_cast<Count>(key_of(logit)) << 32 | static_cast<Count>(~static_cast<std::uint32_t>(id));
}
SS_DEVICE int id_of(Count rank) {
  return static_cast<int>(~static_cast<std::uint32_t>(rank));
}

/// SamplePiece::best of a piece with a logit that is not finite. No finite logit has this rank.
constexpr Count kNotFinite = ~Count{0};

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
/// kAtOnce.
template <typename Visit>
SS_DEVICE void visit_tokens(const Row& row, int begin, int end, const Visit& visit) {
  for (int first = begin + kAtOnce * thread_x(); first < end; first += kAtOnce * kThreads) {
    float values[kAtOnce];
    load_logits(row, first, values);
    SS_UNROLL
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i < end) visit(first + i, values[i]);
    }
  }
}

/// The same for all tokens of the row except the forbidden one.
template <typename Visit>
SS_DEVICE void visit_allowed(const Row& row, const Visit& visit) {
  visit_tokens(row, 0, row.n, [&](int id, float logit) {
    if (id != row.forbidden_id) visit(id, logit);
  });
}

SS_DEVICE Count max_rank(Count a, Count b) {
  return a > b ? a : b;
}

/// The largest rank that the pieces still hold; 0 if none.
SS_DEVICE Count first_rank(const Row& row, Shared& shared) {
  Count best = 0;
  for (int piece = thread_x(); piece < row.n_pieces; piece += kThreads) best = max_rank(best, row.pieces[piece].best);
  return reduce_block(best, shared.of_count, max_rank);
}

/// Removes `before`, the result of first_rank(), from its piece and returns the rank after it; 0 if none. May be called
/// again with the result.
SS_DEVICE Count next_rank(const Row& row, Count before, Shared& shared) {
  const int piece = id_of(before) / kSamplePieceLogits;
  const int begin = piece * kSamplePieceLogits;
  const int end = begin + kSamplePieceLogits < row.n ? begin + kSamplePieceLogits : row.n;
  Count best = 0;
  visit_tokens(row, begin, end, [&](int id, float logit) {
    const Count rank = rank_of(logit, id);
    if (rank < before) best = max_rank(best, rank);
  });
  best = reduce_block(best, shared.of_count, max_rank);
  // first_rank() reads this piece on the same thread, so no barrier is needed.
  if (thread_x() == piece % kThreads) row.pieces[piece].best = best;
  return first_rank(row, shared);
}

/// The token at which a running sum over the tokens, in their order, reaches a target.
struct Crossing {
  std::uint32_t key;  ///< the token's key; other tokens may share it
  Count above;        ///< sum over all tokens with a larger key
};

/// Radix select: finds the key at which the running sum of weigh(key) is first >= target (> if `strictly`).
template <typename Weigh>
SS_DEVICE Crossing find_crossing(const Row& row, double target, bool strictly, Shared& shared, const Weigh& weigh) {
  std::uint32_t prefix = 0;
  Count above = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    sync_block();
    shared.histogram[thread_x()] = 0;
    sync_block();
    visit_allowed(row, [&](int, float logit) {
      const std::uint32_t key = key_of(logit);
      if (shift == 24 || key >> (shift + 8) == prefix) add_shared(&shared.histogram[key >> shift & 255U], weigh(key));
    });
    sync_block();
    if (thread_x() == 0) {
      Count sum = above;
      int digit = kDigits - 1;
      int last = 0;  // last digit with any weight, used if rounding puts the target past the total
      Count above_last = above;
      for (; digit >= 0; --digit) {
        const Count own = shared.histogram[digit];
        const auto reached = static_cast<double>(sum + own);
        if (own > 0 && (strictly ? reached > target : reached >= target)) break;
        if (own > 0) {
          last = digit;
          above_last = sum;
        }
        sum += own;
      }
      shared.key = prefix << 8 | static_cast<std::uint32_t>(digit >= 0 ? digit : last);
      shared.above = digit >= 0 ? sum : above_last;
    }
    sync_block();
    prefix = shared.key;
    above = shared.above;
  }
  return {prefix, above};
}

/// The id of the index-th token with this key, by rising id; the last one if there are fewer.
SS_DEVICE int find_tie(const Row& row, std::uint32_t key, Count index, Shared& shared) {
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

SS_DEVICE int draw(const Row& row, const SampleRow& params, float row_max, Shared& shared) {
  const double temperature = static_cast<double>(params.temperature);
  const auto mass = [&](std::uint32_t key) {
    return static_cast<Count>(kMassUnits *
                              exp((static_cast<double>(logit_of(key)) - static_cast<double>(row_max)) / temperature));
  };
  const int n_candidates = row.n - (params.forbidden_id >= 0 && params.forbidden_id < row.n ? 1 : 0);
  Count total = 0;
  if (params.top_k > 0 && params.top_k < n_candidates) {
    const Crossing kth =
        find_crossing(row, static_cast<double>(params.top_k), false, shared, [](std::uint32_t) -> Count { return 1; });
    visit_allowed(row, [&](int, float logit) {
      const std::uint32_t key = key_of(logit);
      if (key > kth.key) total += mass(key);
    });
    total = reduce_block(total, shared.of_count, [](Count a, Count b) { return a + b; });
    total += (static_cast<Count>(params.top_k) - kth.above) * mass(kth.key);
  } else {
    visit_allowed(row, [&](int, float logit) { total += mass(key_of(logit)); });
    total = reduce_block(total, shared.of_count, [](Count a, Count b) { return a + b; });
  }
  Count kept = total;
  if (params.top_p < 1.0F) {
    const double wanted = static_cast<double>(params.top_p) * static_cast<double>(total);
    const Crossing last = find_crossing(row, wanted, false, shared, mass);
    kept = last.above + ties_to_reach(last.above, mass(last.key), wanted, false) * mass(last.key);
  }
  const double target = params.uniform * static_cast<double>(kept);
  const Crossing chosen = find_crossing(row, target, true, shared, mass);
  return find_tie(row, chosen.key, ties_to_reach(chosen.above, mass(chosen.key), target, true) - 1, shared);
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
  const int index = block_y();
  if (index >= *a.batch.n_logit_rows) return;
  auto& shared = shared_memory<PieceShared>();
  const Row row = row_of(a, index);
  const int first = block_x() * kSamplePieceLogits + thread_x() * kAtOnce;
  const auto first_of = [&](int load) { return first + load * kThreads * kAtOnce; };
  float logits[kLoads][kAtOnce];
  SS_UNROLL
  for (int load = 0; load < kLoads; ++load) load_logits(row, first_of(load), logits[load]);
  Count best = 0;
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
  const float row_max = logit_of(static_cast<std::uint32_t>(best >> 32));
  double sum = 0.0;
  SS_UNROLL
  for (int load = 0; load < kLoads; ++load) {
    SS_UNROLL
    for (int i = 0; i < kAtOnce; ++i) sum += static_cast<double>(expf(logits[load][i] - row_max));
  }
  sum = reduce_block(sum, shared.of_double, [](double p, double q) { return p + q; });
  if (thread_x() == 0) row.pieces[block_x()] = {best, sum};
}

/// log(sum(exp(logits))) of the whole row, merged from its pieces; `row_max` is the row's maximum.
SS_DEVICE double log_sum_exp(const Row& row, double row_max, Shared& shared) {
  double sum = 0.0;
  for (int piece = thread_x(); piece < row.n_pieces; piece += kThreads) {
    const double piece_max = static_cast<double>(logit_of(static_cast<std::uint32_t>(row.pieces[piece].best >> 32)));
    sum += row.pieces[piece].sum * exp(piece_max - row_max);
  }
  return row_max + log(reduce_block(sum, shared.of_double, [](double p, double q) { return p + q; }));
}

SS_KERNEL(kThreads) sample_kernel(SampleArguments a) {
  const int index = block_x();
  if (index >= *a.batch.n_logit_rows) return;
  auto& shared = shared_memory<Shared>();
  const SampleRow params = a.batch.samples[index];
  const Row row = row_of(a, index);
  const Count best = first_rank(row, shared);
  SampledRow& sampled = a.sampled[index];
  if (best == kNotFinite) {
    if (thread_x() != 0) return;
    sampled = {-1, 0.0F, 0, 0};
    // The request of this row fails, but the next step may already be submitted and needs an id to embed.
    if (params.slot >= 0) a.last_sampled[params.slot] = 0;
    return;
  }
  const double normalizer = log_sum_exp(row, static_cast<double>(row.logits[id_of(best)]), shared);

  int id = params.forced_id;
  if (id < 0) {
    const Count allowed = id_of(best) == params.forbidden_id ? next_rank(row, best, shared) : best;
    id = allowed == 0 ? -1 : id_of(allowed);
    if (params.temperature > 0.0F && allowed != 0) id = draw(row, params, row.logits[id], shared);
  }
  if (thread_x() == 0) {
    const float logprob = id < 0 ? 0.0F : static_cast<float>(static_cast<double>(row.logits[id]) - normalizer);
    sampled = {id, logprob, 1, 0};
    if (params.slot >= 0) a.last_sampled[params.slot] = id < 0 ? 0 : id;
  }
  Count rank = best;
  for (int n = 0; n < a.n_top; ++n) {
    if (n > 0) rank = next_rank(row, rank, shared);
    if (thread_x() != 0) continue;
    const double logit = static_cast<double>(row.logits[id_of(rank)]);
    a.top[std::int64_t{index} * a.n_top + n] = {id_of(rank), static_cast<float>(logit - normalizer)};
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
                {.grid = {n_rows}, .threads = kThreads, .shared_bytes = sizeof(Shared)}, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
