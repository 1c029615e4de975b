#pragma once
// The history of one cell, a value a night: when did its level change, and how far is it from a pinned release? Nights
// are sittings of their own, so that nothing here can be as sharp as interleaved pairs; but no drip of small losses,
// each below the gate's threshold, gets past the comparison with the anchor.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gate/rule.h"
#include "stats/change_points.h"

namespace secondsource {

/// Change points of logarithms: at least four nights a level (one bad night is not a level), at least 3 % between two.
[[nodiscard]] ChangePointRule nightly_change_points();

struct LevelChange {
  std::size_t night = 0;      ///< the first at the new level
  double change_percent = 0;  ///< of the level; positive: worse
  double p = 1;
};

/// `values`: one a night, oldest first, positive, bad when they grow.
[[nodiscard]] std::vector<LevelChange> find_level_changes(std::span<const double> values,
                                                          const ChangePointRule& rule = nightly_change_points());

/// Nights that each side of a comparison with the anchor needs.
inline constexpr std::size_t kAnchorNights = 5;

struct AnchorVerdict {
  Decision decision = Decision::kInconclusive;
  double change_percent = 0;
  double low_percent = 0, high_percent = 0;  ///< 95 %
};

/// The most recent nights against those of the release that was pinned, by the gate's own rule for one of `n_cells`.
/// Every value is a sitting, so that what sittings differ by is in their spread and is not charged again. nullopt below
/// kAnchorNights on either side.
[[nodiscard]] std::optional<AnchorVerdict> compare_with_anchor(std::span<const double> anchor,
                                                               std::span<const double> recent, const GateRule& rule,
                                                               std::int64_t n_cells);

}  // namespace secondsource
