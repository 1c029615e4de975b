#include "gate/operating_characteristic.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "core/random.h"
#include "gate/trend.h"

namespace secondsource {
namespace {

/// Sums trial(i), a GateCounts or a number, over i in [0, n_trials).
template <typename Sum, typename Trial>
Sum sum_over_trials(std::int64_t n_trials, const SimulationWork& work, const Trial& trial) {
  std::vector<Sum> sums(static_cast<std::size_t>(std::max(1, work.n_threads)));
  {
    std::vector<std::jthread> threads;
    for (std::size_t worker = 0; worker < sums.size(); ++worker) {
      threads.emplace_back([&, worker] {
        Sum sum{};
        for (auto i = static_cast<std::int64_t>(worker); i < n_trials; i += std::ssize(sums)) {
          if (work.interrupt != nullptr && work.interrupt->requested()) break;
          sum += trial(i);
        }
        sums[worker] = sum;
      });
    }
  }
  Sum total{};
  for (const Sum& sum : sums) total += sum;
  return total;
}

/// Runs one gate over all cells, which are the columns of `rows`.
GateCounts judge_rows(const PairedGate& gate, std::span<const std::vector<double>> rows) {
  GateCounts counts;
  bool any_regressed = false;
  bool all_passed = true;
  for (std::size_t cell = 0; cell < rows.front().size(); ++cell) {
    std::vector<double> differences;
    for (const std::vector<double>& row : rows) differences.push_back(row[cell]);
    const auto verdict = gate.run(differences);
    if (!verdict) continue;
    any_regressed = any_regressed || verdict->decision == Decision::kRegressed;
    all_passed = all_passed && verdict->decision == Decision::kPass;
    counts.n_pairs = std::max(counts.n_pairs, verdict->n_pairs);
  }
  (any_regressed ? counts.n_regressed : all_passed ? counts.n_passed : counts.n_inconclusive) = 1;
  return counts;
}

Decision simulate_anchor(const AnchorNights& nights, std::int64_t n_verdicts, double change, std::uint64_t seed) {
  NoiseStream stream(nights.noise, nights.sigma, seed);
  const auto draw = [&](std::int64_t n, double level) {
    std::vector<double> values(static_cast<std::size_t>(n));
    for (double& value : values) value = level * std::exp(stream.next());
    return values;
  };
  const std::vector<double> pinned = draw(nights.n_pinned, 1);
  const auto verdict = compare_with_anchor(pinned, draw(nights.n_newest, 1 + change), GateRule{}, n_verdicts);
  return verdict ? verdict->decision : Decision::kInconclusive;
}

void count(Decision decision, GateCounts& counts) {
  (decision == Decision::kRegressed ? counts.n_regressed
   : decision == Decision::kPass    ? counts.n_passed
                                    : counts.n_inconclusive) += 1;
}

}  // namespace

void GateCounts::add(const PairedVerdict& verdict) {
  count(verdict.decision, *this);
  n_pairs += verdict.n_pairs;
}

GateCounts& GateCounts::operator+=(const GateCounts& other) {
  n_regressed += other.n_regressed;
  n_passed += other.n_passed;
  n_inconclusive += other.n_inconclusive;
  n_pairs += other.n_pairs;
  return *this;
}

PairedVerdict simulate_gate(const PairedGate& gate, NoiseKind noise, double sigma, double change, std::uint64_t seed,
                            const ServerStarts& starts) {
  NoiseStream stream(noise, sigma, random_bits(seed, 0));
  NoiseStream luck_of_starts(NoiseKind::kGaussian, starts.sigma, random_bits(seed, 2));
  double luck = 0;  // of the candidate's start over the base's
  const std::vector<bool> candidate_first = candidate_goes_first(gate.plan(), random_bits(seed, 1));
  std::vector<double> differences;
  PairedVerdict verdict;
  for (const std::int64_t look : gate.plan().looks) {
    while (std::ssize(differences) < look) {
      if (starts.pairs_per_start > 0 && std::ssize(differences) % starts.pairs_per_start == 0) {
        luck = luck_of_starts.next() - luck_of_starts.next();
      }
      const double first = stream.next();
      const double second = stream.next();
      const double difference = candidate_first[differences.size()] ? first - second : second - first;
      differences.push_back(difference + luck + std::log1p(change));
    }
    verdict = gate.judge(differences);
    if (verdict.is_final) break;
  }
  return verdict;
}

GateCounts simulate_gates(const PairedGate& gate, NoiseKind noise, double sigma, double change, std::int64_t n_trials,
                          std::uint64_t seed, const SimulationWork& work, const ServerStarts& starts) {
  return sum_over_trials<GateCounts>(n_trials, work, [&](std::int64_t trial) {
    GateCounts counts;
    counts.add(simulate_gate(gate, noise, sigma, change, random_bits(seed, static_cast<std::uint64_t>(trial)), starts));
    return counts;
  });
}

std::int64_t simulate_false_families(const PairedGate& gate, NoiseKind noise, double sigma, std::int64_t n_cells,
                                     std::int64_t n_families, std::uint64_t seed, const SimulationWork& work,
                                     const ServerStarts& starts) {
  return sum_over_trials<std::int64_t>(n_families, work, [&](std::int64_t family) -> std::int64_t {
    for (std::int64_t cell = 0; cell < n_cells; ++cell) {
      const auto index = static_cast<std::uint64_t>(family * n_cells + cell);
      if (simulate_gate(gate, noise, sigma, 0, random_bits(seed, index), starts).decision == Decision::kRegressed)
        return 1;
    }
    return 0;
  });
}

GateCounts simulate_anchors(const AnchorNights& nights, std::int64_t n_verdicts, double change, std::int64_t n_trials,
                            std::uint64_t seed, const SimulationWork& work) {
  return sum_over_trials<GateCounts>(n_trials, work, [&](std::int64_t trial) {
    GateCounts counts;
    count(simulate_anchor(nights, n_verdicts, change, random_bits(seed, static_cast<std::uint64_t>(trial))), counts);
    return counts;
  });
}

std::int64_t simulate_false_checks(const AnchorNights& nights, std::int64_t n_verdicts, std::int64_t n_families,
                                   std::uint64_t seed, const SimulationWork& work) {
  return sum_over_trials<std::int64_t>(n_families, work, [&](std::int64_t family) -> std::int64_t {
    for (std::int64_t verdict = 0; verdict < n_verdicts; ++verdict) {
      const std::uint64_t bits = random_bits(seed, static_cast<std::uint64_t>(family * n_verdicts + verdict));
      if (simulate_anchor(nights, n_verdicts, 0, bits) == Decision::kRegressed) return 1;
    }
    return 0;
  });
}

GateCounts resample_gates(const PairedGate& gate, const PairPool& pool, Drawing drawing, double change,
                          std::int64_t n_gates, std::uint64_t seed, const SimulationWork& work) {
  return sum_over_trials<GateCounts>(n_gates, work, [&](std::int64_t trial) {
    RandomStream random(random_bits(seed, static_cast<std::uint64_t>(trial)));
    PairPool rows;
    for (std::int64_t pair = 0; pair < gate.plan().max_pairs(); ++pair) {
      rows.push_back(pool[random.next_below(pool.size())]);
      const bool is_swapped = drawing == Drawing::kSwapSides && random.next_below(2) == 1;
      for (double& difference : rows.back()) difference = (is_swapped ? -difference : difference) + std::log1p(change);
    }
    return judge_rows(gate, rows);
  });
}

GateCounts disjoint_gates(const PairedGate& gate, const PairPool& pool, double change) {
  GateCounts counts;
  const auto n_rows = static_cast<std::size_t>(gate.plan().max_pairs());
  for (std::size_t begin = 0; begin + n_rows <= pool.size(); begin += n_rows) {
    PairPool rows(pool.begin() + static_cast<std::ptrdiff_t>(begin),
                  pool.begin() + static_cast<std::ptrdiff_t>(begin + n_rows));
    for (std::vector<double>& row : rows) {
      for (double& difference : row) difference += std::log1p(change);
    }
    counts += judge_rows(gate, rows);
  }
  return counts;
}

}  // namespace secondsource
