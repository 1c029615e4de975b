#pragma once
// The gate on interleaved pairs: looks at fixed numbers of pairs, three decisions, and an end that is planned before
// the first pair. One object serves every cell of a comparison.
//
//   const PairedGate gate(interleaved_rule(), pull_request_plan(), n_cells);
//   if (gate.is_look(differences.size())) { const PairedVerdict verdict = gate.judge(differences); ... }
//
// A cell is done at the first look whose verdict is not inconclusive, and at the last look in any case. The chance of a
// wrong failure, family_alpha, is split evenly over the cells and the planned looks (Bonferroni): it holds however the
// cells hang together, and whether or not later looks take place.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gate/rule.h"

namespace secondsource {

struct PairPlan {
  std::vector<std::int64_t> looks;  ///< numbers of pairs, ascending; the last is the planned maximum
  [[nodiscard]] std::int64_t max_pairs() const { return looks.back(); }
};

/// At most 28 pairs: what a pull request can wait for.
[[nodiscard]] PairPlan pull_request_plan();
/// At most 96 pairs.
[[nodiscard]] PairPlan nightly_plan();
/// The nightly looks below `max_pairs`, and `max_pairs`.
[[nodiscard]] PairPlan plan_up_to(std::int64_t max_pairs);

/// What the pairs so far say of one cell. Logarithms of candidate / base.
struct PairedVerdict {
  Decision decision = Decision::kInconclusive;
  bool is_final = false;  ///< no more pairs of this cell are wanted
  bool improved = false;
  double estimate = 0;
  double low = 0, high = 0;  ///< 95 %, whichever of the planned looks it is
  double p = 1;              ///< one-sided p of "it did not grow"
  std::int64_t n_pairs = 0;
  /// Inconclusive at the end: how many more pairs would have told, if estimate and noise stay as they are.
  std::int64_t n_more_pairs = 0;
};

class PairedGate {
 public:
  PairedGate(const GateRule& rule, PairPlan plan, std::int64_t n_cells);

  [[nodiscard]] const PairPlan& plan() const noexcept { return plan_; }
  [[nodiscard]] const GateRule& rule() const noexcept { return rule_; }
  /// The share of family_alpha that one cell has at one look.
  [[nodiscard]] double alpha() const noexcept { return alpha_; }
  [[nodiscard]] bool is_look(std::int64_t n_pairs) const;
  /// `differences`: ln(candidate / base) of the first pairs, in order; as many as a look has.
  [[nodiscard]] PairedVerdict judge(std::span<const double> differences) const;
  /// Judges at one look after the other until a verdict is final; nullopt when that takes more pairs than there are.
  [[nodiscard]] std::optional<PairedVerdict> run(std::span<const double> differences) const;

 private:
  GateRule rule_;
  PairPlan plan_;
  double alpha_;
  std::vector<SignedRankDistribution> null_;  ///< one a look
};

/// For each pair of a plan: does the candidate go first? A coin, but as often one as the other between two looks, so
/// that going first cannot look like a change. The same for the same plan and seed.
[[nodiscard]] std::vector<bool> candidate_goes_first(const PairPlan& plan, std::uint64_t seed);

}  // namespace secondsource
