#pragma once
// The rule that turns a measured change into a verdict. Three decisions: regressed, pass, inconclusive; "improved" and
// "waived" are labels on top. docs/gate.md explains the choices and their sources.

#include <cstdint>

#include "report/gate_record.h"
#include "stats/shift.h"

namespace secondsource {

/// Changes are ratios worse / base - 1 of a quantity that is bad when it grows (cost, time to first token).
struct GateRule {
  double threshold = 0.10;          ///< a change beyond this fails
  double family_alpha = 0.01;       ///< chance that any of the cells fails wrongly, split evenly over them
  double fail_confidence = 0.9975;  ///< of the lower bound that must lie beyond half the threshold
  double pass_confidence = 0.95;    ///< of the upper bound that must lie below 1.5 x the threshold
  double sitting_sigma = 0.04;      ///< relative error that one sitting has in common (boot, placement, neighbours)
};

/// regressed: estimate > threshold, p <= family_alpha / n_cells, and lower bound > threshold / 2.
/// pass: estimate <= threshold and upper bound < 1.5 x threshold. Else inconclusive.
/// `shift` is of the logarithm of the quantity.
[[nodiscard]] Decision decide(const Shift& shift, const GateRule& rule, std::int64_t n_cells);

/// Significantly better by more than the threshold, by the mirrored rule.
[[nodiscard]] bool is_improved(const Shift& shift, const GateRule& rule, std::int64_t n_cells);

}  // namespace secondsource
