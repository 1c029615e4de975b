#pragma once
// The rule that turns the evidence for a change into a verdict, for stored runs and for interleaved pairs alike. There
// are three decisions: regressed, pass and inconclusive; "improved" and "waived" are labels in addition. A "sitting" is
// a set of measurements taken together on one machine. docs/gate.md explains the choices and their sources.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gate/gate_record.h"
#include "stats/shift.h"
#include "stats/signed_rank.h"

namespace secondsource {

/// A change is candidate / base - 1 of a quantity of which more is worse (cost, time to first token).
struct GateRule {
  double threshold = 0.10;          ///< a change beyond this fails
  double family_alpha = 0.01;       ///< chance that any cell fails wrongly, split evenly over cells and looks
  double fail_confidence = 0.9975;  ///< confidence of the lower bound, which must exceed half the threshold to fail
  double pass_confidence = 0.95;    ///< confidence of the upper bound, which must be below 1.5 x the threshold to pass
  double sitting_sigma = 0.04;      ///< relative error common to all values of one sitting (boot, placement,
                                    ///< neighbours)
};

/// The rule for pairs that were measured in one sitting. No error is common to one side only, and the upper bound has
/// the same confidence as the lower one.
[[nodiscard]] inline GateRule interleaved_rule() {
  GateRule rule;
  rule.pass_confidence = 0.9975;
  rule.sitting_sigma = 0;
  return rule;
}

/// The evidence about ln(candidate / base).
struct ShiftEvidence {
  double estimate = 0;
  double p_larger = 1;    ///< one-sided p of "it did not grow"
  double p_smaller = 1;   ///< one-sided p of "it did not shrink"
  double fail_bound = 0;  ///< lower bound at the rule's fail_confidence
  double pass_bound = 0;  ///< upper bound at the rule's pass_confidence
};

[[nodiscard]] ShiftEvidence evidence_of(const Shift& shift, const GateRule& rule);
/// `null` must be the distribution for the number of pairs behind `walsh`.
[[nodiscard]] ShiftEvidence evidence_of(const WalshAverages& walsh, const SignedRankDistribution& null,
                                        const GateRule& rule);

/// One of the looks at the data that share family_alpha.
struct Look {
  double alpha = 0;
  bool is_last = false;  ///< last of several looks, where fail_bound is not required any more; a single look is none
};

/// Returns "regressed" if estimate > threshold, p_larger <= alpha, and fail_bound > threshold / 2 unless this is the
/// last of several looks; "pass" if estimate <= threshold and pass_bound < 1.5 x threshold; otherwise "inconclusive".
[[nodiscard]] Decision decide(const ShiftEvidence& evidence, const GateRule& rule, const Look& look);

/// True if the candidate is significantly better by more than the threshold.
[[nodiscard]] bool is_improved(const ShiftEvidence& evidence, const GateRule& rule, const Look& look);

/// "threshold +12.5 %", for the reason of a verdict.
[[nodiscard]] std::string threshold_text(const GateRule& rule);

/// Converts a logarithm of a ratio to percent: ln(1.15) gives 15.
[[nodiscard]] double to_percent(double log_ratio);

/// The natural logarithms of values above zero, whose differences are ratios.
[[nodiscard]] std::vector<double> logarithms(std::span<const double> values);

}  // namespace secondsource
