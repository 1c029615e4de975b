#pragma once
// Estimates how often the gate on interleaved pairs is right, by simulation under noise models that occur on real
// machines and by resampling measured pairs; and how often the comparison with a pinned anchor is. All results follow
// from the seed; the number of threads does not change them.

#include <cstdint>
#include <functional>
#include <vector>

#include "core/interrupt.h"
#include "gate/noise_model.h"
#include "gate/paired_gate.h"

namespace secondsource {

/// How a simulation is computed, which changes nothing in its result. One that is interrupted ends at once with the trials
/// that were done by then, which its caller discards.
struct SimulationWork {
  int n_threads = 1;
  const InterruptFlag* interrupt = nullptr;  ///< checked before each trial; may be nullptr
};

/// Counts of the verdicts of many gates under the same conditions.
struct GateCounts {
  std::int64_t n_regressed = 0;
  std::int64_t n_passed = 0;
  std::int64_t n_inconclusive = 0;
  std::int64_t n_pairs = 0;  ///< sum over all gates

  [[nodiscard]] std::int64_t n_gates() const { return n_regressed + n_passed + n_inconclusive; }
  void add(const PairedVerdict& verdict);
  GateCounts& operator+=(const GateCounts& other);
};

/// Two servers that stay up for several pairs. How fast a start happens to be (memory layout, placement) is common to
/// all pairs of that start.
struct ServerStarts {
  double sigma = 0;                  ///< standard deviation from start to start of the logarithm of a time
  std::int64_t pairs_per_start = 0;  ///< 0: no servers, every process is fresh
};

/// Simulates the gate on one cell: pairs of consecutive processes in which the candidate is slower by `change` (0.15:
/// 15 %).
[[nodiscard]] PairedVerdict simulate_gate(const PairedGate& gate, NoiseKind noise, double sigma, double change,
                                          std::uint64_t seed, const ServerStarts& starts = {});

/// Simulates `n_trials` gates of one cell each.
[[nodiscard]] GateCounts simulate_gates(const PairedGate& gate, NoiseKind noise, double sigma, double change,
                                        std::int64_t n_trials, std::uint64_t seed, const SimulationWork& work,
                                        const ServerStarts& starts = {});

/// Simulates `n_families` comparisons of a build with itself, each with `n_cells` cells, and returns the number of
/// comparisons in which any cell failed. The cells are independent, which is the worst case for the family error.
[[nodiscard]] std::int64_t simulate_false_families(const PairedGate& gate, NoiseKind noise, double sigma,
                                                   std::int64_t n_cells, std::int64_t n_families, std::uint64_t seed,
                                                   const SimulationWork& work, const ServerStarts& starts = {});

/// One comparison of the newest nights with the pinned ones.
struct AnchorNights {
  std::int64_t n_pinned = 5;
  std::int64_t n_newest = 10;
  NoiseKind noise = NoiseKind::kGaussian;
  double sigma = 0;  ///< from night to night, of the logarithm of a value
};

/// Simulates `n_trials` verdicts of compare_with_anchor(), each one of `n_verdicts` that share the error, where the newest
/// nights are slower by `change`.
[[nodiscard]] GateCounts simulate_anchors(const AnchorNights& nights, std::int64_t n_verdicts, double change,
                                          std::int64_t n_trials, std::uint64_t seed, const SimulationWork& work);

/// Simulates `n_families` checks of an unchanged program with `n_verdicts` independent verdicts each, and returns the
/// number of checks in which any verdict failed.
[[nodiscard]] std::int64_t simulate_false_checks(const AnchorNights& nights, std::int64_t n_verdicts,
                                                 std::int64_t n_families, std::uint64_t seed,
                                                 const SimulationWork& work);

/// The differences ln(candidate / base) of measured pairs: one row per pair, one column per cell and metric.
using PairPool = std::vector<std::vector<double>>;

enum class Drawing : std::uint8_t {
  kSwapSides,  ///< base and candidate of each pair are swapped at random, for pairs of one build with itself
  kKeepSides,
};

/// Runs `n_gates` gates over all cells, each on pairs drawn from the pool with replacement and with the candidate
/// slowed by a further `change`. A gate counts as regressed when any cell is, and as passed when all cells are.
[[nodiscard]] GateCounts resample_gates(const PairedGate& gate, const PairPool& pool, Drawing drawing, double change,
                                        std::int64_t n_gates, std::uint64_t seed, const SimulationWork& work);

/// Does the same on consecutive pairs of the pool in measured order: one gate for each complete plan that fits.
[[nodiscard]] GateCounts disjoint_gates(const PairedGate& gate, const PairPool& pool, double change);

}  // namespace secondsource
