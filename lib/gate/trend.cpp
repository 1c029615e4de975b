#include "gate/trend.h"

#include <cmath>

namespace secondsource {
ChangePointRule nightly_change_points() {
  return {.window = 50, .max_p = 0.001, .min_stretch = 4, .min_difference = std::log(1.03)};
}

std::vector<LevelChange> find_level_changes(std::span<const double> values, const ChangePointRule& rule) {
  std::vector<LevelChange> changes;
  for (const ChangePoint& point : find_change_points(logarithms(values), rule)) {
    changes.push_back({.night = point.index, .change_percent = to_percent(point.after - point.before), .p = point.p});
  }
  return changes;
}

std::optional<AnchorVerdict> compare_with_anchor(std::span<const double> anchor, std::span<const double> recent,
                                                 const GateRule& rule, std::int64_t n_verdicts) {
  if (anchor.size() < kAnchorNights || recent.size() < kAnchorNights) return std::nullopt;
  const auto shift = estimate_shift_of_sittings(logarithms(anchor), logarithms(recent));
  if (!shift) return std::nullopt;
  const Look look{.alpha = rule.family_alpha / static_cast<double>(n_verdicts), .is_last = false};
  return AnchorVerdict{.decision = decide(evidence_of(*shift, rule), rule, look),
                       .change_percent = to_percent(shift->estimate),
                       .low_percent = to_percent(shift->lower_bound(0.975)),
                       .high_percent = to_percent(shift->upper_bound(0.975))};
}

}  // namespace secondsource
