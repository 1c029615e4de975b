#include "gate/paired_gate.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/random.h"
#include "gate/planning.h"

namespace secondsource {
namespace {
constexpr double kIntervalTail = 0.025;
}

PairPlan pull_request_plan() {
  return {{14, 28}};
}

PairPlan nightly_plan() {
  return {{14, 28, 56, 96}};
}

PairPlan plan_up_to(std::int64_t max_pairs) {
  PairPlan plan;
  for (const std::int64_t look : nightly_plan().looks) {
    if (look < max_pairs) plan.looks.push_back(look);
  }
  plan.looks.push_back(max_pairs);
  return plan;
}

PairedGate::PairedGate(const GateRule& rule, PairPlan plan, std::int64_t n_cells)
    : rule_(rule), plan_(std::move(plan)) {
  SS_CHECK(!plan_.looks.empty() && n_cells > 0, "a gate needs a look and a cell");
  alpha_ = rule_.family_alpha / static_cast<double>(n_cells) / static_cast<double>(plan_.looks.size());
  for (const std::int64_t n_pairs : plan_.looks) null_.emplace_back(n_pairs);
}

bool PairedGate::is_look(std::int64_t n_pairs) const {
  return std::binary_search(plan_.looks.begin(), plan_.looks.end(), n_pairs);
}

PairedVerdict PairedGate::judge(std::span<const double> differences) const {
  const auto n_pairs = static_cast<std::int64_t>(differences.size());
  SS_CHECK(is_look(n_pairs), "the gate looks at planned numbers of pairs only");
  const auto index =
      static_cast<std::size_t>(std::lower_bound(plan_.looks.begin(), plan_.looks.end(), n_pairs) - plan_.looks.begin());
  const SignedRankDistribution& null = null_[index];
  const WalshAverages walsh(differences);
  const bool is_planned_end = n_pairs == plan_.max_pairs();
  const Look look{.alpha = alpha_, .is_last = is_planned_end && !plan_.has_one_look()};
  const ShiftEvidence evidence = evidence_of(walsh, null, rule_);
  const double tail = kIntervalTail / static_cast<double>(plan_.looks.size());
  PairedVerdict verdict{.decision = decide(evidence, rule_, look),
                        .improved = is_improved(evidence, rule_, look),
                        .estimate = evidence.estimate,
                        .low = walsh.lower_bound(null, tail),
                        .high = walsh.upper_bound(null, tail),
                        .p = evidence.p_larger,
                        .n_pairs = n_pairs};
  verdict.is_final = verdict.decision != Decision::kInconclusive || is_planned_end;
  if (verdict.is_final && verdict.decision == Decision::kInconclusive) {
    verdict.n_more_pairs = pairs_missing(differences, evidence.estimate, *this);
  }
  return verdict;
}

std::optional<PairedVerdict> PairedGate::run(std::span<const double> differences) const {
  for (const std::int64_t n_pairs : plan_.looks) {
    if (n_pairs > static_cast<std::int64_t>(differences.size())) return std::nullopt;
    PairedVerdict verdict = judge(differences.first(static_cast<std::size_t>(n_pairs)));
    if (verdict.is_final) return verdict;
  }
  return std::nullopt;
}

std::vector<bool> candidate_goes_first(const PairPlan& plan, std::uint64_t seed) {
  RandomStream random(seed);
  std::vector<bool> first;
  for (const std::int64_t look : plan.looks) {
    const std::size_t begin = first.size();
    const auto end = static_cast<std::size_t>(look);
    // In a block with an odd number of pairs, a random draw decides the order of the remaining pair.
    const bool odd_one = random.next_below(2) == 1;
    for (std::size_t i = begin; i < end; ++i) first.push_back((i - begin) % 2 == 0 ? odd_one : !odd_one);
    for (std::size_t left = end - begin; left > 1; --left) {
      const std::size_t other = begin + random.next_below(left);
      const bool kept = first[begin + left - 1];
      first[begin + left - 1] = first[other];
      first[other] = kept;
    }
  }
  return first;
}

}  // namespace secondsource
