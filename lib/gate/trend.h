#pragma once
// Judges the history of one cell with one value per night: when its level changed, and how far it is from a pinned
// release. Every night is a separate sitting, so that these results are less precise than interleaved pairs. But the
// comparison with the pinned anchor also finds a series of small losses that are each below the gate's threshold.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gate/rule.h"
#include "stats/change_points.h"

namespace secondsource {

/// The rule for change points of logarithms: at least four nights per level, since one bad night is not a level, and at
/// least 3 % between two levels.
[[nodiscard]] ChangePointRule nightly_change_points();

struct LevelChange {
  std::size_t night = 0;      ///< index of the first value at the new level
  double change_percent = 0;  ///< change of the level; positive: worse
  double p = 1;
};

/// `values` has one positive value per night, the oldest first; larger is worse.
[[nodiscard]] std::vector<LevelChange> find_level_changes(std::span<const double> values,
                                                          const ChangePointRule& rule = nightly_change_points());

/// Number of nights that each side of a comparison with the anchor needs.
inline constexpr std::size_t kAnchorNights = 5;

struct AnchorVerdict {
  Decision decision = Decision::kInconclusive;
  double change_percent = 0;
  double low_percent = 0, high_percent = 0;  ///< 95 % interval
};

/// Compares the most recent nights with those of the pinned release by the gate's rule for one of `n_verdicts` verdicts.
/// Since every value is a sitting of its own, the differences between sittings are part of the spread, and
/// rule.sitting_sigma is not added. The error rate holds for nights whose logarithms vary as much on both sides and are
/// independent (docs/operating-characteristic.md). Returns nullopt if either side has fewer than kAnchorNights values.
[[nodiscard]] std::optional<AnchorVerdict> compare_with_anchor(std::span<const double> anchor,
                                                               std::span<const double> recent, const GateRule& rule,
                                                               std::int64_t n_verdicts);

}  // namespace secondsource
