#include "gate/rule.h"

#include <cmath>

namespace secondsource {

Decision decide(const Shift& shift, const GateRule& rule, std::int64_t n_cells) {
  const double threshold = std::log1p(rule.threshold);
  const double alpha = rule.family_alpha / static_cast<double>(n_cells);
  if (shift.estimate > threshold) {
    const bool certain =
        shift.p_larger <= alpha && shift.lower_bound(rule.fail_confidence) > std::log1p(rule.threshold / 2);
    return certain ? Decision::kRegressed : Decision::kInconclusive;
  }
  const bool small = shift.upper_bound(rule.pass_confidence) < std::log1p(1.5 * rule.threshold);
  return small ? Decision::kPass : Decision::kInconclusive;
}

bool is_improved(const Shift& shift, const GateRule& rule, std::int64_t n_cells) {
  const double alpha = rule.family_alpha / static_cast<double>(n_cells);
  return shift.estimate < -std::log1p(rule.threshold) && shift.p_smaller <= alpha;
}

}  // namespace secondsource
