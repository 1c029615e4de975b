#pragma once
// The gate's operating characteristic as text: what `selftest gate` prints and docs/operating-characteristic.md shows.

#include <cstdint>
#include <string>

#include "core/progress.h"
#include "gate/operating_characteristic.h"

namespace secondsource {

struct SelftestPlan {
  std::int64_t n_trials = 2000;   ///< gates of one cell for each noise model, run noise and change
  std::int64_t n_families = 400;  ///< comparisons of a build with itself for each noise model and run noise
  std::int64_t n_cells = 16;
  std::uint64_t seed = 1;
  int n_threads = 1;
};

struct SelftestResult {
  std::string text;
  /// With the nightly plan, at a run noise of up to 8 %, whatever the noise model: fewer than 1 % of the families fail
  /// falsely, more than 99 % of the slowdowns of 15 % are found.
  bool meets_aims = false;
};

[[nodiscard]] SelftestResult simulate(const SelftestPlan& plan, Progress& progress);

/// Gates on measured pairs: how noisy they are, how often the gate fails on them, with and without a slowdown added.
/// `same_build`: both sides are one build, so that a coin may swap them, and slowdowns are added; else the pairs are
/// judged as they are.
[[nodiscard]] std::string pool_report(const PairPool& pool, bool same_build, const SelftestPlan& plan);

}  // namespace secondsource
