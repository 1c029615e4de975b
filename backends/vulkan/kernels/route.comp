#version 460
// Router of a mixture: which experts each token takes, and with what weights (gpu/kernels/route.cpp). It follows route_scores.comp.
//
//   p[t, e]       = softmax(score[t])[e], or 1 / (1 + exp(-score[t, e])) by `score`
//   merit[t, e]   = p[t, e] + choice_bias[e]   if there is a bias of the choice,
//                   p[t, e]                    if a group is judged by the sum of its two best experts,
//                   score[t, e]                otherwise, which has the same order as p
//   expert[t, j]  = the expert with the j-th largest merit among those of the n_top_groups best groups
//   weight[t, j]  = scale * p[t, expert[t, j]], which `renormalize` divides by the sum of p over the chosen experts
//
// Shapes       scores: [T, n_experts]; choice_bias: [n_experts] or null; expert, weight: [T, n_top]; n_experts is at most kMaxExperts
// Types        scores, choice_bias, weight: f32; expert: int32
// Accumulator  f32; softmax's sum is compensated (Kahan) in each thread
// Source       op.h's Route; groups as in DeepSeek-V2 (arXiv 2405.04434) and DeepSeek-V3 (arXiv 2412.19437), section 2.1.2
//
// A workgroup takes a token. Each thread holds the ranks of its experts in registers, and the largest rank of the workgroup is the next
// choice; of equal merits that of the lowest number.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 64) in;
PARAMETERS(RouteParameters)
#include "exponential.glsl"
#include "rank.glsl"
#include "reduce.glsl"
#include "wide_reduce.glsl"

const int kThreads = 64;
const int kSlots = kMaxExperts / kThreads;
const uint kMinusInfinityBits = 0xff800000u;

int thread = int(gl_LocalInvocationID.x);
shared float scores[kMaxExperts];
shared float merits[kMaxExperts];
shared int chosen[kMaxExperts];  // at first 1 for each group that is among the best, else 0; then the chosen experts, the best first

// Candidates of which the workgroup takes the best, one after the other: this thread's are those with the numbers thread,
// thread + kThreads, ...
uint64_t ranks[kSlots];

/// Removes the best candidate and returns its number; of equally good ones the lowest number. Every thread must call it.
int take() {
  uint64_t best = 0ul;
  [[unroll]] for (int slot = 0; slot < kSlots; ++slot) best = larger_of(best, ranks[slot]);
  best = largest_wide(best);
  [[unroll]] for (int slot = 0; slot < kSlots; ++slot) {
    if (ranks[slot] == best) ranks[slot] = 0ul;
  }
  return index_of_rank(best);
}

/// Excludes the groups that are not among the best: the merits of their experts become -inf.
void drop_groups() {
  const int n_groups = p.n_groups;
  const int group_size = p.group_size;
  const float minus_infinity = uintBitsToFloat(kMinusInfinityBits);
  [[unroll]] for (int slot = 0; slot < kSlots; ++slot) {
    ranks[slot] = 0ul;
    const int group = slot * kThreads + thread;
    if (group >= n_groups) continue;
    float first = minus_infinity;
    float second = minus_infinity;
    for (int i = group * group_size; i < (group + 1) * group_size; ++i) {
      const float merit = merits[i];
      second = max(second, min(merit, first));
      first = max(first, merit);
    }
    ranks[slot] = rank_of(floatBitsToUint(p.group_score == kGroupScoreSumOfTwo ? first + second : first), group);
    chosen[group] = 0;
  }
  barrier();  // the marks of all groups are cleared
  for (int i = 0; i < p.n_top_groups; ++i) {
    const int group = take();
    if (thread == 0) chosen[group] = 1;
  }
  barrier();  // the best groups are marked
  for (int i = thread; i < n_groups * group_size; i += kThreads) {
    if (chosen[i / group_size] == 0) merits[i] = minus_infinity;
  }
  barrier();  // merits are stored, and the marks of groups have been read
}

float row_max;

/// The probability of an expert, of a softmax without its sum.
float probability(float score) {
  return p.score == kScoreSigmoid ? 1.0 / (1.0 + exponential(-score)) : exponential(score - row_max);
}

/// The sum of the probabilities of n experts, or of the n chosen ones. Hundreds of tiny terms may be added to one of 1, and each would be
/// rounded away: hence Kahan's summation.
float sum_probabilities(int n, bool of_chosen) {
  precise float sum = 0.0;
  precise float excess = 0.0;
  for (int i = thread; i < n; i += kThreads) {
    precise const float corrected = probability(scores[of_chosen ? chosen[i] : i]) - excess;
    precise const float next = sum + corrected;
    excess = (next - sum) - corrected;
    sum = next;
  }
  return sum_workgroup(sum);
}

void main() {
  const int token = int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x);
  if (token >= I32(p.n_rows).at[0]) return;
  const int n_experts = p.gate.n_rows;
  const int n_top = p.n_top;
  const uint64_t stored_scores = p.scores + uint64_t(token) * uint64_t(n_experts) * 4;
  float largest = uintBitsToFloat(kMinusInfinityBits);
  for (int i = thread; i < n_experts; i += kThreads) {
    scores[i] = F32(stored_scores).at[i];
    largest = worst(scores[i], largest);
  }
  row_max = worst_workgroup(largest);
  // NaN cannot be ordered: a row with a NaN score takes the first experts, with weights of NaN.
  const bool is_poisoned = is_nan(row_max);
  const bool is_sigmoid = p.score == kScoreSigmoid;
  const bool is_by_probability = p.choice_bias != 0 || (p.n_groups > 1 && p.group_score == kGroupScoreSumOfTwo);
  for (int i = thread; i < n_experts; i += kThreads) {
    float merit = is_by_probability ? probability(scores[i]) : scores[i];
    if (p.choice_bias != 0) merit += F32(p.choice_bias).at[i];
    merits[i] = is_poisoned ? 0.0 : merit;
  }
  barrier();  // scores and merits are stored
  if (p.n_groups > 1 && !is_poisoned) drop_groups();
  [[unroll]] for (int slot = 0; slot < kSlots; ++slot) {
    const int i = slot * kThreads + thread;
    ranks[slot] = i < n_experts ? rank_of(floatBitsToUint(merits[i]), i) : 0ul;
  }
  for (int j = 0; j < n_top; ++j) {
    const int expert = take();
    if (thread == 0) chosen[j] = expert;
  }
  barrier();  // the choice is stored
  float sum = 1.0;
  if (p.renormalize != 0) {
    sum = sum_probabilities(n_top, true);
  } else if (!is_sigmoid) {
    sum = sum_probabilities(n_experts, false);
  }
  for (int j = thread; j < n_top; j += kThreads) {
    const int at = token * n_top + j;
    I32(p.expert).at[at] = chosen[j];
    F32(p.weight).at[at] = is_poisoned ? uintBitsToFloat(0x7fc00000u) : probability(scores[chosen[j]]) / sum * p.scale;
  }
}
