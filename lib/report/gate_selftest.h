#pragma once
// Renders the gate's operating characteristic as the text that `selftest gate` prints and
// docs/operating-characteristic.md shows.

#include <cstdint>
#include <string>

#include "core/progress.h"
#include "gate/operating_characteristic.h"

namespace secondsource {

struct SelftestPlan {
  std::int64_t n_trials = 2000;   ///< gates of one cell per noise model, run noise and change
  std::int64_t n_families = 400;  ///< comparisons of a build with itself per noise model and run noise
  std::int64_t n_cells = 16;
  std::uint64_t seed = 1;
  SimulationWork work{};  ///< after an interrupt the texts below mean nothing
};

struct SelftestResult {
  std::string text;
  /// True if, with the nightly plan at a run noise of up to 8 % and under every noise model, fewer than 1 % of the
  /// families fail wrongly and more than 99 % of the slowdowns of 15 % are found.
  bool meets_aims = false;
};

[[nodiscard]] SelftestResult simulate(const SelftestPlan& plan, Progress& progress);

/// The same for two servers that stay up for several pairs, with a variance from start to start: one row for each size of it
/// and each number of pairs in a start. The text that `selftest gate --server-starts` prints.
[[nodiscard]] std::string simulate_server_starts(const SelftestPlan& plan, Progress& progress);

/// How often `history check` is right: one row for each number of nights, kind of noise and size of it. plan.n_cells is
/// the number of verdicts, two for each cell. The text that `selftest gate --anchor` prints.
[[nodiscard]] std::string simulate_anchor_checks(const SelftestPlan& plan, Progress& progress);

/// Describes gates on measured pairs: the noise of the pairs, and how often the gate fails with and without an added
/// slowdown. With `same_build`, both sides are one build: they are swapped at random and slowdowns are added.
/// Otherwise, the pairs are judged as they are.
[[nodiscard]] std::string pool_report(const PairPool& pool, bool same_build, const SelftestPlan& plan);

}  // namespace secondsource
