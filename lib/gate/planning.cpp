#include "gate/planning.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "stats/distribution.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

/// The number of pairs at which the standard error is `error`.
std::int64_t pairs_for_error(double sigma_pair, double error) {
  const double n = sigma_pair * sigma_pair * std::numbers::pi / 3 / (error * error);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(std::min(n, 1e12))));
}

/// The smallest number of pairs with which the exact signed-rank test can reach `p`: all of them differ in one direction.
std::int64_t fewest_pairs_for(double p) {
  return static_cast<std::int64_t>(std::ceil(-std::log2(p)));
}

}  // namespace

double standard_error(double sigma_pair, std::int64_t n_pairs) {
  return sigma_pair * std::sqrt(std::numbers::pi / 3 / static_cast<double>(n_pairs));
}

double detectable_change(double sigma_pair, std::int64_t n_pairs, const PairedGate& gate, double power) {
  const GateRule& rule = gate.rule();
  const double error = standard_error(sigma_pair, n_pairs);
  double needed = std::max(std::log1p(rule.threshold), normal_quantile(1 - gate.alpha()) * error);
  // So few pairs have one look, which requires the lower bound.
  if (gate.plan().has_one_look() || n_pairs <= gate.plan().looks.front()) {
    needed = std::max(needed, std::log1p(rule.threshold / 2) + normal_quantile(rule.fail_confidence) * error);
  }
  return needed + normal_quantile(power) * error;
}

std::optional<std::int64_t> pairs_to_find(double log_ratio, double sigma_pair, const PairedGate& gate, double power) {
  const double beyond = log_ratio - std::log1p(gate.rule().threshold);
  if (beyond <= 0) return std::nullopt;
  const std::int64_t for_threshold = pairs_for_error(sigma_pair, beyond / normal_quantile(power));
  const std::int64_t for_alpha =
      pairs_for_error(sigma_pair, log_ratio / (normal_quantile(power) + normal_quantile(1 - gate.alpha())));
  return std::max(for_threshold, for_alpha);
}

std::int64_t pairs_to_pass(double sigma_pair, const PairedGate& gate, double power) {
  const double room = std::log1p(1.5 * gate.rule().threshold);
  return pairs_for_error(sigma_pair, room / (normal_quantile(power) + normal_quantile(gate.rule().pass_confidence)));
}

std::int64_t pairs_missing(std::span<const double> differences, double estimate, const PairedGate& gate) {
  const GateRule& rule = gate.rule();
  const auto n_pairs = static_cast<std::int64_t>(differences.size());
  double error = (std::log1p(1.5 * rule.threshold) - estimate) / normal_quantile(rule.pass_confidence);
  std::int64_t fewest = fewest_pairs_for(1 - rule.pass_confidence);
  if (estimate > std::log1p(rule.threshold)) {
    error = estimate / normal_quantile(1 - gate.alpha());
    fewest = fewest_pairs_for(gate.alpha());
    if (gate.plan().has_one_look()) {
      error = std::min(error, (estimate - std::log1p(rule.threshold / 2)) / normal_quantile(rule.fail_confidence));
      fewest = std::max(fewest, fewest_pairs_for(1 - rule.fail_confidence));
    }
  }
  const double sigma = robust_sigma(differences).value_or(0);
  return std::max<std::int64_t>(1, std::max(fewest, pairs_for_error(sigma, error)) - n_pairs);
}

}  // namespace secondsource
