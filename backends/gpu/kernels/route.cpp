// Router of a mixture: which experts each token takes, and with what weights.
//
//   score[t, e]   = x[t] . gate[e] + bias[e]
//   p[t, e]       = softmax(score[t])[e], or 1 / (1 + exp(-score[t, e])) by `score`
//   merit[t, e]   = p[t, e] + choice_bias[e]   if there is a bias of the choice,
//                   p[t, e]                    if a group is judged by the sum of its two best experts,
//                   score[t, e]                otherwise, which has the same order as p
//   expert[t, j]  = the expert with the j-th largest merit among those of the n_top_groups best groups
//   weight[t, j]  = scale * p[t, expert[t, j]], which `renormalize` divides by the sum of p over the chosen experts
//
// Shapes       x: [T, K]; gate: [n_experts, K]; bias, choice_bias: [n_experts] or null; expert, weight: [T, n_top]; scratch scores:
//              [T, n_experts]; n_arrived: [T], zeros
// Dtypes       x, biases, scores, weight: f32; gate: any encoding; expert: int32
// Accumulator  f32; softmax's sum is compensated (Kahan) in each lane
// Aliasing     none
// Alignment    as matvec.cpp
// Source       op.h's Route; groups as in DeepSeek-V2 (arXiv 2405.04434) and DeepSeek-V3 (arXiv 2412.19437), section 2.1.2
//
// One block alone does not read the router's weights at the rate of the memory: those of 256 experts of 7168 columns are 7 MB in f32. So
// several blocks share the experts of a token, each warp scoring one at a time. The last block to arrive (last_block.h) chooses, with
// one warp: each lane holds the ranks of its experts in registers, and the largest rank of the warp is the next choice.

#include <algorithm>

#include "core/checked.h"
#include "gpu/kernels/dot_product.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/rank.h"
#include "gpu/portable/last_block.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kWarps = 4;
/// The most blocks of a launch with several blocks per token: several for each processor of the largest GPUs. Not timed.
constexpr int kEnoughBlocks = 1024;

struct RouteShared {
  float scores[kMaxExperts];
  float merits[kMaxExperts];
  /// At first 1 for each group that is among the best, else 0; then the chosen experts, the best first.
  int chosen[kMaxExperts];
  int flag;
};

/// Up to kMaxExperts candidates of which the warp takes the best, one after the other. Lane l holds the ranks of the candidates l,
/// l + kWarpSize, ...
class WarpChoice {
 public:
  /// `merit_of(i)` is not NaN.
  template <typename MeritOf>
  SS_DEVICE WarpChoice(int n, const MeritOf& merit_of) : n_(n) {
    SS_UNROLL
    for (int slot = 0; slot < kSlots; ++slot) {
      const int i = slot * kWarpSize + lane();
      ranks_[slot] = i < n ? rank_of(merit_of(i), i) : 0;
    }
  }

  /// Removes the best one and returns its number to every lane; of equally good ones that with the lowest number.
  SS_DEVICE int take() {
    Rank best = 0;
    SS_UNROLL
    for (int slot = 0; slot < kSlots; ++slot) {
      if (slot * kWarpSize < n_) best = max_rank(best, ranks_[slot]);
    }
    for (int mask = kWarpSize / 2; mask > 0; mask /= 2) best = max_rank(best, shuffle_xor(best, mask));
    SS_UNROLL
    for (int slot = 0; slot < kSlots; ++slot) {
      if (ranks_[slot] == best) ranks_[slot] = 0;
    }
    return index_of_rank(best);
  }

 private:
  static constexpr int kSlots = kMaxExperts / kWarpSize;
  Rank ranks_[kSlots];
  int n_;
};

/// The sum of term(i) over [0, n), in every lane. Hundreds of tiny terms may be added to one of 1, and each would be rounded away:
/// hence Kahan's summation in each lane.
template <typename Term>
SS_DEVICE float sum_terms(int n, const Term& term) {
  float sum = 0.0F;
  float excess = 0.0F;
  for (int i = lane(); i < n; i += kWarpSize) {
    const float corrected = term(i) - excess;
    const float next = sum + corrected;
    excess = (next - sum) - corrected;
    sum = next;
  }
  return sum_lanes(sum);
}

/// Excludes the groups that are not among the best: the merits of their experts become -inf.
SS_DEVICE void drop_groups(const RouteArguments& a, RouteShared& shared) {
  WarpChoice groups(a.n_groups, [&](int group) {
    float first = -INFINITY;
    float second = -INFINITY;
    for (int i = group * a.group_size; i < (group + 1) * a.group_size; ++i) {
      const float merit = shared.merits[i];
      second = larger(second, merit < first ? merit : first);
      first = larger(first, merit);
    }
    return a.group_score == GroupScore::kSumOfTwo ? first + second : first;
  });
  for (int group = lane(); group < a.n_groups; group += kWarpSize) shared.chosen[group] = 0;
  sync_warp();  // the marks of all groups are cleared
  for (int i = 0; i < a.n_top_groups; ++i) {
    const int group = groups.take();
    if (lane() == 0) shared.chosen[group] = 1;
  }
  sync_warp();  // the best groups are marked
  for (int group = 0; group < a.n_groups; ++group) {
    if (shared.chosen[group] != 0) continue;
    for (int i = lane(); i < a.group_size; i += kWarpSize) shared.merits[group * a.group_size + i] = -INFINITY;
  }
  sync_warp();  // the marks have been read
}

/// The choice of one token, by one warp.
SS_DEVICE void choose_experts(const RouteArguments& a, int token, RouteShared& shared) {
  const int n_experts = a.gate.n_rows;
  const float* const scores = a.scores + std::int64_t{token} * n_experts;
  float row_max = -INFINITY;
  bool has_nan = false;
  for (int i = lane(); i < n_experts; i += kWarpSize) {
    const float score = scores[i];
    shared.scores[i] = score;
    row_max = larger(row_max, score);
    has_nan |= score != score;
  }
  row_max = max_lanes(row_max);
  // NaN cannot be ordered: a row with a NaN score takes the first experts, with weights of NaN.
  const bool is_poisoned = any_lane(has_nan);
  const bool is_sigmoid = a.score == RouteScore::kSigmoid;
  const auto probability = [&](float score) {
    return is_sigmoid ? 1.0F / (1.0F + expf(-score)) : expf(score - row_max);
  };
  const bool is_by_probability = a.choice_bias != nullptr || (a.n_groups > 1 && a.group_score == GroupScore::kSumOfTwo);
  for (int i = lane(); i < n_experts; i += kWarpSize) {
    float merit = is_by_probability ? probability(shared.scores[i]) : shared.scores[i];
    if (a.choice_bias != nullptr) merit += a.choice_bias[i];
    shared.merits[i] = is_poisoned ? 0.0F : merit;
  }
  sync_warp();  // scores and merits are stored
  if (a.n_groups > 1 && !is_poisoned) drop_groups(a, shared);
  WarpChoice experts(n_experts, [&](int i) { return shared.merits[i]; });
  for (int j = 0; j < a.n_top; ++j) {
    const int expert = experts.take();
    if (lane() == 0) shared.chosen[j] = expert;
  }
  sync_warp();  // the choice is stored
  const auto share = [&](int j) { return probability(shared.scores[shared.chosen[j]]); };
  float sum = 1.0F;
  if (a.renormalize != 0) {
    sum = sum_terms(a.n_top, share);
  } else if (!is_sigmoid) {
    sum = sum_terms(n_experts, [&](int i) { return probability(shared.scores[i]); });
  }
  for (int j = lane(); j < a.n_top; j += kWarpSize) {
    const std::int64_t at = std::int64_t{token} * a.n_top + j;
    a.expert[at] = shared.chosen[j];
    a.weight[at] = is_poisoned ? NAN : share(j) / sum * a.scale;
  }
}

template <WeightEncoding kEncoding>
SS_KERNEL(kMaxThreads)
route_kernel(RouteArguments a) {
  wait_for_earlier_kernels();
  const int token = block_y();
  if (token >= *a.n_rows) return;
  auto& shared = shared_memory<RouteShared>();
  const float* const x[1] = {a.x + std::int64_t{token} * a.gate.n_cols};
  for (int expert = block_x() * n_warps() + warp(); expert < a.gate.n_rows; expert += a.n_blocks * n_warps()) {
    const std::int64_t rows[1] = {expert};
    float score[1][1];
    dot_rows<kEncoding, 1, 1>(a.gate, rows, x, score);
    if (lane() != 0) continue;
    a.scores[std::int64_t{token} * a.gate.n_rows + expert] = score[0][0] + (a.bias != nullptr ? a.bias[expert] : 0.0F);
  }
  if (is_last_block(a.n_arrived + token, a.n_blocks, shared.flag) && warp() == 0) choose_experts(a, token, shared);
}

}  // namespace

Result<void> launch_route(const LaunchContext& context, const RouteArguments& arguments) {
  RouteArguments of_blocks = arguments;
  const std::int32_t n_useful = ceil_divide(arguments.gate.n_rows, kWarps);
  of_blocks.n_blocks = std::clamp(kEnoughBlocks / std::max(arguments.max_rows, 1), 1, n_useful);
  return with_encoding(arguments.gate.encoding, [&]<WeightEncoding kEncoding>() {
    return launch(
        context.stream, "route", route_kernel<kEncoding>,
        {.grid = {static_cast<std::uint32_t>(of_blocks.n_blocks), static_cast<std::uint32_t>(arguments.max_rows)},
         .threads = static_cast<std::uint32_t>(kWarps * context.warp_size),
         .shared_bytes = sizeof(RouteShared)},
        of_blocks);
  });
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
