#pragma once
// The gate on interleaved pairs. It looks at the data after fixed numbers of pairs, makes one of three decisions, and
// ends at a maximum that is planned before the first pair. One object serves every cell of a comparison.
//
//   const PairedGate gate(interleaved_rule(), pull_request_plan(), n_cells);
//   if (gate.is_look(differences.size())) { const PairedVerdict verdict = gate.judge(differences); ... }
//
// A cell is finished at the first look whose verdict is not inconclusive, and at the last look in any case. The chance
// of a wrong failure, family_alpha, is split evenly over the cells and the planned looks (Bonferroni), so that it holds
// however the cells are correlated and whether or not later looks take place.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gate/rule.h"

namespace secondsource {

struct PairPlan {
  std::vector<std::int64_t> looks;  ///< numbers of pairs, ascending; the last is the planned maximum
  [[nodiscard]] std::int64_t max_pairs() const { return looks.back(); }
  /// Then a regression needs the lower bound, which is not required at the last of several looks.
  [[nodiscard]] bool has_one_look() const { return looks.size() == 1; }
};

/// At most 28 pairs, which a pull request can wait for.
[[nodiscard]] PairPlan pull_request_plan();
/// At most 96 pairs.
[[nodiscard]] PairPlan nightly_plan();
/// The nightly looks below `max_pairs`, and a last look at `max_pairs`.
[[nodiscard]] PairPlan plan_up_to(std::int64_t max_pairs);

/// The verdict on one cell after the pairs so far. Estimate and interval are logarithms of candidate / base.
struct PairedVerdict {
  Decision decision = Decision::kInconclusive;
  bool is_final = false;  ///< this cell needs no more pairs
  bool improved = false;
  double estimate = 0;
  double low = 0, high = 0;  ///< 95 % interval that holds at all looks together
  double p = 1;              ///< one-sided p of "it did not grow"
  std::int64_t n_pairs = 0;
  /// If inconclusive at the last look: the number of further pairs that would give a verdict if estimate and noise stay
  /// as they are.
  std::int64_t n_more_pairs = 0;
};

class PairedGate {
 public:
  PairedGate(const GateRule& rule, PairPlan plan, std::int64_t n_cells);

  [[nodiscard]] const PairPlan& plan() const noexcept { return plan_; }
  [[nodiscard]] const GateRule& rule() const noexcept { return rule_; }
  /// The share of family_alpha for one cell at one look.
  [[nodiscard]] double alpha() const noexcept { return alpha_; }
  [[nodiscard]] bool is_look(std::int64_t n_pairs) const;
  /// `differences` has ln(candidate / base) of the first pairs, in order. Its size must be that of a look.
  [[nodiscard]] PairedVerdict judge(std::span<const double> differences) const;
  /// Judges at one look after another until a verdict is final. Returns nullopt when that needs more pairs than given.
  [[nodiscard]] std::optional<PairedVerdict> run(std::span<const double> differences) const;

 private:
  GateRule rule_;
  PairPlan plan_;
  double alpha_;
  std::vector<SignedRankDistribution> null_;  ///< one per look
};

/// Tells for each pair of a plan whether the candidate goes first. The order is random, but between two looks both
/// sides go first equally often, so that an effect of the order cannot look like a change. The result depends on plan
/// and seed alone.
[[nodiscard]] std::vector<bool> candidate_goes_first(const PairPlan& plan, std::uint64_t seed);

}  // namespace secondsource
