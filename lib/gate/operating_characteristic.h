#pragma once
// How often the gate on interleaved pairs is right: by simulation, under noise models that real machines have, and on
// pairs that were measured. Everything follows from the seed; the number of threads changes nothing.

#include <cstdint>
#include <functional>
#include <vector>

#include "gate/noise_model.h"
#include "gate/paired_gate.h"

namespace secondsource {

/// Verdicts of many gates under the same conditions.
struct GateCounts {
  std::int64_t n_regressed = 0;
  std::int64_t n_passed = 0;
  std::int64_t n_inconclusive = 0;
  std::int64_t n_pairs = 0;  ///< of all gates together

  [[nodiscard]] std::int64_t n_gates() const { return n_regressed + n_passed + n_inconclusive; }
  void add(const PairedVerdict& verdict);
  GateCounts& operator+=(const GateCounts& other);
};

/// One cell: pairs of processes that follow one another, the candidate's slower by `change` (0.15: 15 %).
[[nodiscard]] PairedVerdict simulate_gate(const PairedGate& gate, NoiseKind noise, double sigma, double change,
                                          std::uint64_t seed);

/// `n_trials` gates of one cell.
[[nodiscard]] GateCounts simulate_gates(const PairedGate& gate, NoiseKind noise, double sigma, double change,
                                        std::int64_t n_trials, std::uint64_t seed, int n_threads);

/// Of `n_families` comparisons of a build with itself, `n_cells` cells each: in how many did any cell fail? The cells
/// are independent, which is the worst case for a family.
[[nodiscard]] std::int64_t simulate_false_families(const PairedGate& gate, NoiseKind noise, double sigma,
                                                   std::int64_t n_cells, std::int64_t n_families, std::uint64_t seed,
                                                   int n_threads);

/// The differences of measured pairs, ln(candidate / base): one row a pair, one column a cell and metric.
using PairPool = std::vector<std::vector<double>>;

enum class Drawing : std::uint8_t {
  kSwapSides,  ///< a coin swaps base and candidate of each pair: they are one build
  kKeepSides,
};

/// Gates of all cells on `n_gates` sets of pairs drawn from the pool with replacement, the candidate slowed by `change`
/// beyond what it is. Counts a gate as regressed when any cell is, as passed when all are.
[[nodiscard]] GateCounts resample_gates(const PairedGate& gate, const PairPool& pool, Drawing drawing, double change,
                                        std::int64_t n_gates, std::uint64_t seed, int n_threads);

/// The same on stretches of the pool as they were measured, one after the other: as many whole plans as there are.
[[nodiscard]] GateCounts disjoint_gates(const PairedGate& gate, const PairPool& pool, double change);

}  // namespace secondsource
