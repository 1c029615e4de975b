#include "gate/rule.h"

#include <fmt/format.h>

#include <cmath>

namespace secondsource {

ShiftEvidence evidence_of(const Shift& shift, const GateRule& rule) {
  return {.estimate = shift.estimate,
          .p_larger = shift.p_larger,
          .p_smaller = shift.p_smaller,
          .fail_bound = shift.lower_bound(rule.fail_confidence),
          .pass_bound = shift.upper_bound(rule.pass_confidence)};
}

ShiftEvidence evidence_of(const WalshAverages& walsh, const SignedRankDistribution& null, const GateRule& rule) {
  return {.estimate = walsh.estimate(),
          .p_larger = null.upper_tail(walsh.n_positive()),
          .p_smaller = null.upper_tail(walsh.n_negative()),
          .fail_bound = walsh.lower_bound(null, 1 - rule.fail_confidence),
          .pass_bound = walsh.upper_bound(null, 1 - rule.pass_confidence)};
}

Decision decide(const ShiftEvidence& evidence, const GateRule& rule, const Look& look) {
  if (evidence.estimate > std::log1p(rule.threshold)) {
    const bool is_large = look.is_last || evidence.fail_bound > std::log1p(rule.threshold / 2);
    return evidence.p_larger <= look.alpha && is_large ? Decision::kRegressed : Decision::kInconclusive;
  }
  return evidence.pass_bound < std::log1p(1.5 * rule.threshold) ? Decision::kPass : Decision::kInconclusive;
}

bool is_improved(const ShiftEvidence& evidence, const GateRule& rule, const Look& look) {
  return evidence.estimate < -std::log1p(rule.threshold) && evidence.p_smaller <= look.alpha;
}

std::vector<double> logarithms(std::span<const double> values) {
  std::vector<double> result;
  result.reserve(values.size());
  for (const double value : values) result.push_back(std::log(value));
  return result;
}

std::string threshold_text(const GateRule& rule) {
  return fmt::format("threshold {:+g} %", 100 * rule.threshold);
}

double to_percent(double log_ratio) {
  return 100 * std::expm1(log_ratio);
}

}  // namespace secondsource
