#pragma once
// The rule that turns what is known of a change into a verdict, for stored runs and for interleaved pairs alike. Three
// decisions: regressed, pass, inconclusive; "improved" and "waived" are labels on top. docs/gate.md explains the
// choices and their sources.

#include <cstdint>

#include "report/gate_record.h"
#include "stats/shift.h"
#include "stats/signed_rank.h"

namespace secondsource {

/// Changes are ratios worse / base - 1 of a quantity that is bad when it grows (cost, time to first token).
struct GateRule {
  double threshold = 0.10;          ///< a change beyond this fails
  double family_alpha = 0.01;       ///< chance that any of the cells fails wrongly, split evenly over cells and looks
  double fail_confidence = 0.9975;  ///< of the lower bound that must lie beyond half the threshold
  double pass_confidence = 0.95;    ///< of the upper bound that must lie below 1.5 x the threshold
  double sitting_sigma = 0.04;      ///< relative error that one sitting has in common (boot, placement, neighbours)
};

/// For pairs that were measured in one sitting: nothing else is common to one side, and the upper bound is held as
/// strictly as the lower one.
[[nodiscard]] inline GateRule interleaved_rule() {
  GateRule rule;
  rule.pass_confidence = 0.9975;
  rule.sitting_sigma = 0;
  return rule;
}

/// What is known of the logarithm of candidate / base.
struct Evidence {
  double estimate = 0;
  double p_larger = 1;    ///< one-sided p of "it did not grow"
  double p_smaller = 1;   ///< one-sided p of "it did not shrink"
  double fail_bound = 0;  ///< lower bound at the rule's fail_confidence
  double pass_bound = 0;  ///< upper bound at the rule's pass_confidence
};

[[nodiscard]] Evidence evidence_of(const Shift& shift, const GateRule& rule);
/// `null` is for as many pairs as the averages come from.
[[nodiscard]] Evidence evidence_of(const WalshAverages& walsh, const SignedRankDistribution& null,
                                   const GateRule& rule);

/// One look at the data, of the several that share family_alpha.
struct Look {
  double alpha = 0;
  bool is_last = false;  ///< of several; the lower bound is not asked for any more
};

/// regressed: estimate > threshold, p_larger <= alpha, and fail_bound > threshold / 2 unless this is the last look.
/// pass: estimate <= threshold and pass_bound < 1.5 x threshold. Else inconclusive.
[[nodiscard]] Decision decide(const Evidence& evidence, const GateRule& rule, const Look& look);

/// Significantly better by more than the threshold.
[[nodiscard]] bool is_improved(const Evidence& evidence, const GateRule& rule, const Look& look);

/// 15 for a logarithm of a ratio of 1.15.
[[nodiscard]] double to_percent(double log_ratio);

}  // namespace secondsource
