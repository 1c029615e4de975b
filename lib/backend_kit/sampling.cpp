#include "backend_kit/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/checked.h"
#include "core/exp_nonpositive.h"
#include "core/random.h"

namespace secondsource {
namespace {

struct Candidate {
  float logit = 0.0F;
  std::int32_t id = -1;
};

/// The order of tokens used everywhere: descending logit, ties by ascending id.
bool before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/// The result of the first pass over a row.
struct Extent {
  bool finite = true;
  float largest = -std::numeric_limits<float>::infinity();  ///< valid if all logits are finite
  std::size_t near = 0;  ///< start of the first block that contains the largest logit
};
constexpr std::size_t kExtentBlock = 4096;

/// Finds the extent in one pass. A NaN or an infinity has an exponent of all ones; this test and the maximum each use
/// lanes of their own, so that the compiler vectorizes them.
[[gnu::always_inline]] inline Extent extent_of(const float* logits, std::size_t n) {
  constexpr std::size_t kLanes = 64;
  constexpr std::uint32_t kExponent = 0x7f800000U;
  Extent extent;
  std::uint32_t not_finite[kLanes] = {};
  for (std::size_t block = 0; block < n; block += kExtentBlock) {
    const std::size_t end = std::min(n, block + kExtentBlock);
    float largest[kLanes];
    for (float& lane : largest) lane = -std::numeric_limits<float>::infinity();
    const auto look_at = [&](float logit, std::size_t lane) {
      largest[lane] = logit > largest[lane] ? logit : largest[lane];
      not_finite[lane] |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(logit) & kExponent) == kExponent);
    };
    std::size_t i = block;
    for (; i + kLanes <= end; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) look_at(logits[i + lane], lane);
    }
    for (; i < end; ++i) look_at(logits[i], 0);
    const float of_block = *std::ranges::max_element(largest);
    if (!(of_block > extent.largest)) continue;
    extent.largest = of_block;
    extent.near = block;
  }
  extent.finite = std::ranges::all_of(not_finite, [](std::uint32_t bad) { return bad == 0; });
  return extent;
}

/// sum(exp(logits - largest)), accumulated in f64 in a fixed order, so that every compilation gives the same result.
[[gnu::always_inline]] inline double sum_of_exponentials(const float* logits, std::size_t n, float largest) {
  constexpr std::size_t kLanes = 16;
  double sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += static_cast<double>(exp_nonpositive(logits[i + lane] - largest));
    }
  }
  double sum = 0.0;
  for (; i < n; ++i) sum += static_cast<double>(exp_nonpositive(logits[i] - largest));
  for (const double lane : sums) sum += lane;
  return sum;
}

/// The two passes over a row, which take most of the time of sampling, compiled for the widest vectors that the CPU
/// has. target_clones cannot be used, because its resolvers run before the sanitizers are initialized.
struct Passes {
  Extent (*extent_of)(const float* logits, std::size_t n);
  double (*sum_of_exponentials)(const float* logits, std::size_t n, float largest);
};

Extent extent_of_plain(const float* logits, std::size_t n) {
  return extent_of(logits, n);
}
double sum_of_exponentials_plain(const float* logits, std::size_t n, float largest) {
  return sum_of_exponentials(logits, n, largest);
}
#if defined(__x86_64__)
[[gnu::target("avx2")]] Extent extent_of_avx2(const float* logits, std::size_t n) {
  return extent_of(logits, n);
}
[[gnu::target("avx2")]] double sum_of_exponentials_avx2(const float* logits, std::size_t n, float largest) {
  return sum_of_exponentials(logits, n, largest);
}
[[gnu::target("avx512f,avx512dq,prefer-vector-width=512")]] Extent extent_of_avx512(const float* logits,
                                                                                    std::size_t n) {
  return extent_of(logits, n);
}
[[gnu::target("avx512f,avx512dq,prefer-vector-width=512")]] double sum_of_exponentials_avx512(const float* logits,
                                                                                              std::size_t n,
                                                                                              float largest) {
  return sum_of_exponentials(logits, n, largest);
}
#endif

Passes passes() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
    return {extent_of_avx512, sum_of_exponentials_avx512};
  }
  if (__builtin_cpu_supports("avx2")) return {extent_of_avx2, sum_of_exponentials_avx2};
#endif
  return {extent_of_plain, sum_of_exponentials_plain};
}

/// The result of both passes over one piece of a row. The piece size is fixed, so that the sums do not depend on the
/// number of threads.
struct Piece {
  Extent extent;
  double sum_of_exponentials = 0.0;  ///< sum of exp(logit - extent.largest); valid if all logits are finite
};
constexpr std::size_t kPieceLogits = 16384;

std::size_t n_pieces(std::size_t n_logits) {
  return ceil_divide(n_logits, kPieceLogits);
}

/// Runs both passes over piece number `index` of a row; the second pass finds the piece in the cache.
Piece look_at_piece(std::span<const float> row, std::size_t index) {
  const std::size_t first = index * kPieceLogits;
  const std::span<const float> logits = row.subspan(first, std::min(kPieceLogits, row.size() - first));
  Piece piece{.extent = passes().extent_of(logits.data(), logits.size())};
  piece.extent.near += first;
  if (piece.extent.finite) {
    piece.sum_of_exponentials = passes().sum_of_exponentials(logits.data(), logits.size(), piece.extent.largest);
  }
  return piece;
}

/// Combines all pieces of a row into one result.
Piece joined(std::span<const Piece> pieces) {
  Piece all{.extent = pieces.front().extent};
  for (const Piece& piece : pieces.subspan(1)) {
    all.extent.finite = all.extent.finite && piece.extent.finite;
    if (!(piece.extent.largest > all.extent.largest)) continue;
    all.extent.largest = piece.extent.largest;
    all.extent.near = piece.extent.near;
  }
  if (!all.extent.finite) return all;
  for (const Piece& piece : pieces) {
    const double distance = static_cast<double>(piece.extent.largest) - static_cast<double>(all.extent.largest);
    all.sum_of_exponentials += piece.sum_of_exponentials * std::exp(distance);
  }
  return all;
}

/// The first `n` logits in the order of before(), found without sorting the rest.
std::vector<Candidate> best_candidates(std::span<const float> logits, std::size_t n) {
  std::vector<Candidate> best;
  best.reserve(n + 1);
  if (n == 0) return best;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    // Ids ascend, so an equal logit never displaces an earlier candidate.
    if (best.size() == n && logits[i] <= best.back().logit) continue;
    const Candidate candidate{logits[i], static_cast<std::int32_t>(i)};
    best.insert(std::upper_bound(best.begin(), best.end(), candidate, before), candidate);
    if (best.size() > n) best.pop_back();
  }
  return best;
}

/// The lowest id that has the largest logit.
std::int32_t first_of_largest(std::span<const float> logits, const Extent& extent) {
  const auto from = logits.begin() + static_cast<std::ptrdiff_t>(extent.near);
  return static_cast<std::int32_t>(std::find(from, logits.end(), extent.largest) - logits.begin());
}

/// The lowest id that has the largest logit, apart from the forbidden id; -1 if there is none.
std::int32_t greedy(std::span<const float> logits, std::int32_t forbidden_id) {
  if (forbidden_id >= 0 && static_cast<std::size_t>(forbidden_id) < logits.size()) {
    const auto below_end = static_cast<std::size_t>(forbidden_id);
    const std::int32_t below = greedy(logits.first(below_end), -1);
    const std::int32_t above = greedy(logits.subspan(below_end + 1), -1);
    if (above < 0) return below;
    const std::int32_t above_id = above + forbidden_id + 1;
    if (below < 0) return above_id;
    return logits[static_cast<std::size_t>(above_id)] > logits[static_cast<std::size_t>(below)] ? above_id : below;
  }
  if (logits.empty()) return -1;
  return first_of_largest(logits, passes().extent_of(logits.data(), logits.size()));
}

/// Candidates in the order of before(), sorted in growing pieces, because most draws end among the first few dozen.
class SortedPrefix {
 public:
  explicit SortedPrefix(std::vector<Candidate>& candidates) : candidates_(candidates) {}
  const Candidate& at(std::size_t index) {
    while (index >= n_sorted_) {
      const std::size_t end = std::min(candidates_.size(), std::max<std::size_t>(64, n_sorted_ * 4));
      const auto first = candidates_.begin() + static_cast<std::ptrdiff_t>(n_sorted_);
      const auto middle = candidates_.begin() + static_cast<std::ptrdiff_t>(end);
      if (middle != candidates_.end()) std::nth_element(first, middle, candidates_.end(), before);
      std::sort(first, middle, before);
      n_sorted_ = end;
    }
    return candidates_[index];
  }

 private:
  std::vector<Candidate>& candidates_;
  std::size_t n_sorted_ = 0;
};

std::int32_t draw(std::span<const float> logits, const SamplingParams& params) {
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    if (id != params.forbidden_id) candidates.push_back({logits[i], id});
  }
  if (candidates.empty()) return -1;
  const auto top_k = static_cast<std::size_t>(std::max(params.top_k, 0));
  if (top_k > 0 && top_k < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(top_k), candidates.end(),
                     before);
    candidates.resize(top_k);
  }
  SortedPrefix sorted(candidates);
  const double temperature = static_cast<double>(params.temperature);
  const double largest = static_cast<double>(sorted.at(0).logit);
  const auto mass = [&](const Candidate& c) {
    return std::exp((static_cast<double>(c.logit) - largest) / temperature);
  };

  // The masses are summed by descending probability, so that the sum does not depend on the order in which the partial
  // sort left the rest.
  double kept_mass = 0.0;
  std::size_t n_kept = candidates.size();
  double total = 0.0;
  for (const Candidate& c : candidates) total += mass(c);
  if (params.top_p < 1.0F) {
    const double wanted = static_cast<double>(params.top_p) * total;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      kept_mass += mass(sorted.at(i));
      if (kept_mass >= wanted) {
        n_kept = i + 1;
        break;
      }
    }
  } else {
    kept_mass = total;
  }
  const double target = random_unit(params.seed, static_cast<std::uint64_t>(params.position)) * kept_mass;
  double running = 0.0;
  for (std::size_t i = 0; i < n_kept; ++i) {
    running += mass(sorted.at(i));
    if (running > target) return sorted.at(i).id;
  }
  return sorted.at(n_kept - 1).id;  // rounding made the sum smaller than kept_mass
}

/// Chooses the token of a row from the result of its passes.
SampledToken choose(std::span<const float> logits, const Piece& row, const SamplingParams& params, std::int32_t n_top) {
  SampledToken token;
  if (!row.extent.finite) {
    token.finite = false;
    return token;
  }
  const double normalizer = static_cast<double>(row.extent.largest) + std::log(row.sum_of_exponentials);
  const auto logprob = [&](float logit) { return static_cast<float>(static_cast<double>(logit) - normalizer); };

  if (params.forced_id >= 0) {
    SS_CHECK(static_cast<std::size_t>(params.forced_id) < logits.size(), "forced id is not in the vocabulary");
    token.id = params.forced_id;
  } else if (params.temperature > 0.0F) {
    token.id = draw(logits, params);
  } else {
    const std::int32_t best = first_of_largest(logits, row.extent);
    token.id = best == params.forbidden_id ? greedy(logits, params.forbidden_id) : best;
  }
  if (token.id >= 0) token.logprob = logprob(logits[static_cast<std::size_t>(token.id)]);

  const auto n = static_cast<std::size_t>(std::clamp<std::int64_t>(n_top, 0, static_cast<std::int64_t>(logits.size())));
  token.top.reserve(n);
  for (const Candidate& c : best_candidates(logits, n)) token.top.push_back({c.id, logprob(c.logit)});
  return token;
}

}  // namespace

void sample_rows(const MatrixView<const float>& logits, std::span<const SamplingParams> params, std::int32_t n_top,
                 const ForEach& for_each, std::span<SampledToken> tokens) {
  SS_CHECK(logits.cols() > 0, "sample_rows needs logits");
  SS_CHECK(params.size() == tokens.size() && logits.rows() == static_cast<std::int64_t>(tokens.size()),
           "sample_rows needs parameters and a token for each row");
  const std::size_t per_row = n_pieces(static_cast<std::size_t>(logits.cols()));
  std::vector<Piece> pieces(tokens.size() * per_row);
  const auto look = [&](std::int64_t i) {
    const auto index = static_cast<std::size_t>(i);
    pieces[index] = look_at_piece(logits.row(static_cast<std::int64_t>(index / per_row)), index % per_row);
  };
  const auto choose_one = [&](std::int64_t i) {
    const auto row = static_cast<std::size_t>(i);
    const Piece whole = joined(std::span<const Piece>(pieces).subspan(row * per_row, per_row));
    tokens[row] = choose(logits.row(i), whole, params[row], n_top);
  };
  // Short work runs on the calling thread, because it is done before another thread would wake up: a single piece, and
  // the greedy choice, which searches only one block for the largest logit.
  const bool is_short = logits.rows() * logits.cols() <= static_cast<std::int64_t>(kPieceLogits);
  const bool is_greedy =
      n_top <= 0 && std::ranges::all_of(params, [](const SamplingParams& one) { return one.temperature <= 0.0F; });
  const ForEach on_caller = for_each_on_caller;
  (is_short ? on_caller : for_each)(static_cast<std::int64_t>(pieces.size()), look);
  (is_short || is_greedy ? on_caller : for_each)(logits.rows(), choose_one);
}

SampledToken sample_row(std::span<const float> logits, const SamplingParams& params, std::int32_t n_top) {
  SampledToken token;
  sample_rows({logits.data(), 1, static_cast<std::int64_t>(logits.size())}, {&params, 1}, n_top, for_each_on_caller,
              {&token, 1});
  return token;
}

}  // namespace secondsource
