#include "report/gate_selftest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "gate/planning.h"
#include "report/text_table.h"
#include "stats/proportion.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

constexpr std::array kRunNoises = {0.02, 0.05, 0.08};
constexpr std::array kChanges = {0.05, 0.10, 0.15, 0.25};
constexpr double kDetected = 0.15;
constexpr double kMaxFalseFamilies = 0.01;
constexpr double kMinDetection = 0.99;

double percent_of(std::int64_t k, std::int64_t n) {
  return 100 * static_cast<double>(k) / static_cast<double>(std::max<std::int64_t>(1, n));
}

/// Returns "99.7 / 0.2 / 0.1": the percentages of regressed, inconclusive and passed gates.
std::string shares(const GateCounts& counts) {
  const std::int64_t n = counts.n_gates();
  return fmt::format("{:.1f} / {:.1f} / {:.1f}", percent_of(counts.n_regressed, n),
                     percent_of(counts.n_inconclusive, n), percent_of(counts.n_passed, n));
}

/// Returns "0 of 400 (< 0.75 %)" with the upper 95 % bound of the proportion.
std::string count_text(std::int64_t k, std::int64_t n) {
  return fmt::format("{} of {} (< {:.2g} %)", k, n, 100 * proportion_bounds(k, n).high);
}

double mean_pairs(const GateCounts& counts) {
  return static_cast<double>(counts.n_pairs) / static_cast<double>(std::max<std::int64_t>(1, counts.n_gates()));
}

TextTable empty_table(const char* first_column) {
  TextTable table;
  table.columns = {first_column, "false families", "pairs, unchanged"};
  for (const double change : kChanges) table.columns.push_back(fmt::format("+{:.0f} %", 100 * change));
  table.right_aligned.assign(table.columns.size(), true);
  table.right_aligned[0] = false;
  return table;
}

/// Simulates one plan and writes one table per run noise.
class PlanSimulation {
 public:
  PlanSimulation(const SelftestPlan& plan, PairPlan pairs, Progress& progress, std::int64_t& n_done)
      : plan_(plan), gate_(interleaved_rule(), std::move(pairs), plan.n_cells), progress_(progress), n_done_(n_done) {}

  std::string run() {
    std::string text;
    for (const double sigma : kRunNoises) {
      TextTable table = empty_table("noise");
      for (const NoiseKind noise : noise_kinds()) table.rows.push_back(row(noise, sigma));
      text += fmt::format("At most {} pairs, run noise {:.0f} %:\n\n{}\n", gate_.plan().max_pairs(), 100 * sigma,
                          render_terminal(table));
    }
    return text;
  }

  [[nodiscard]] bool meets_aims() const { return meets_aims_; }
  [[nodiscard]] double worst_detection() const { return worst_detection_; }
  [[nodiscard]] std::int64_t worst_false_families() const { return worst_false_families_; }

 private:
  std::vector<std::string> row(NoiseKind noise, double sigma) {
    const std::int64_t n_false =
        simulate_false_families(gate_, noise, sigma, plan_.n_cells, plan_.n_families, plan_.seed, plan_.work);
    worst_false_families_ = std::max(worst_false_families_, n_false);
    meets_aims_ = meets_aims_ && percent_of(n_false, plan_.n_families) < 100 * kMaxFalseFamilies;
    const GateCounts same = simulate_gates(gate_, noise, sigma, 0, plan_.n_trials, plan_.seed, plan_.work);
    std::vector<std::string> cells = {std::string(to_string(noise)), count_text(n_false, plan_.n_families),
                                      fmt::format("{:.0f}", mean_pairs(same))};
    for (const double change : kChanges) {
      const GateCounts counts = simulate_gates(gate_, noise, sigma, change, plan_.n_trials, plan_.seed + 1, plan_.work);
      cells.push_back(shares(counts));
      if (change != kDetected) continue;
      const double found = percent_of(counts.n_regressed, counts.n_gates());
      worst_detection_ = std::min(worst_detection_, found);
      meets_aims_ = meets_aims_ && found > 100 * kMinDetection;
    }
    progress_.update(++n_done_);
    return cells;
  }

  const SelftestPlan& plan_;
  PairedGate gate_;
  Progress& progress_;
  std::int64_t& n_done_;
  bool meets_aims_ = true;
  double worst_detection_ = 100;
  std::int64_t worst_false_families_ = 0;
};

/// Correlation between consecutive differences.
double lag_one_correlation(const std::vector<double>& values) {
  double mean = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  double squares = 0;
  double products = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    squares += (values[i] - mean) * (values[i] - mean);
    if (i > 0) products += (values[i] - mean) * (values[i - 1] - mean);
  }
  return squares > 0 ? products / squares : 0;
}

std::string noise_text(const PairPool& pool) {
  TextTable table{.columns = {"column", "run noise", "median", "beyond 4 sigma", "lag-1 correlation"},
                  .right_aligned = {false, true, true, true, true},
                  .rows = {}};
  for (std::size_t column = 0; column < pool.front().size(); ++column) {
    std::vector<double> differences;
    for (const std::vector<double>& row : pool) differences.push_back(row[column]);
    const double sigma = robust_sigma(differences).value_or(0);
    const double middle = *median(differences);
    const auto n_far = std::count_if(differences.begin(), differences.end(),
                                     [&](double x) { return std::abs(x - middle) > 4 * sigma; });
    table.rows.push_back({std::to_string(column), fmt::format("{:.2f} %", 100 * sigma / std::numbers::sqrt2),
                          fmt::format("{:+.2f} %", to_percent(middle)), std::to_string(n_far),
                          fmt::format("{:+.2f}", lag_one_correlation(differences))});
  }
  return render_terminal(table);
}

/// The largest run noise among the columns.
double pool_noise(const PairPool& pool) {
  double largest = 0;
  for (std::size_t column = 0; column < pool.front().size(); ++column) {
    std::vector<double> differences;
    for (const std::vector<double>& row : pool) differences.push_back(row[column]);
    largest = std::max(largest, robust_sigma(differences).value_or(0) / std::numbers::sqrt2);
  }
  return largest;
}

struct BesideNeighbour {
  std::string text{};
  bool meets_aims = false;
};

/// The comparison of a pull request, with three cells of two metrics, beside bursts of load on one of two cores.
BesideNeighbour simulate_beside_neighbour(const SelftestPlan& plan) {
  constexpr std::int64_t kCells = 6;
  constexpr double kRunNoise = 0.02;
  constexpr double kLarge = 0.25;
  constexpr double kMinLargeDetection = 0.90;
  const PairedGate gate(interleaved_rule(), pull_request_plan(), kCells);
  const auto counted = [&](double change) {
    return simulate_gates(gate, NoiseKind::kOneCore, kRunNoise, change, plan.n_trials, plan.seed + 3, plan.work);
  };
  const GateCounts same = counted(0);
  const GateCounts slower = counted(kLarge);
  BesideNeighbour result;
  // A gate on all cells fails wrongly at most as often as the sum over its cells.
  result.meets_aims =
      proportion_bounds(same.n_regressed, same.n_gates()).low * static_cast<double>(kCells) < kMaxFalseFamilies &&
      percent_of(slower.n_regressed, slower.n_gates()) >= 100 * kMinLargeDetection;
  result.text = fmt::format(
      "Beside a neighbour who works on one of two cores half of the time, in bursts and pauses of 0.1 to 1 s, at most {} "
      "pairs, one of {} cells: {}\n"
      "  unchanged: regressed {}, inconclusive {}, passed {}\n"
      "  +25 %: regressed {} of {} (aim: 90 %), inconclusive {}, passed {}\n\n",
      gate.plan().max_pairs(), kCells, result.meets_aims ? "met" : "MISSED",
      count_text(same.n_regressed, same.n_gates()), same.n_inconclusive, same.n_passed, slower.n_regressed,
      slower.n_gates(), slower.n_inconclusive, slower.n_passed);
  return result;
}

}  // namespace

SelftestResult simulate(const SelftestPlan& plan, Progress& progress) {
  SelftestResult result;
  const auto n_rows = static_cast<std::int64_t>(2 * kRunNoises.size() * noise_kinds().size());
  progress.begin("simulating the gate", n_rows);
  std::int64_t n_done = 0;
  result.text = fmt::format(
      "The gate on interleaved pairs, threshold +10 %, {} cells, simulated with seed {}.\n"
      "false families: of {} comparisons of a build with itself, those in which any cell failed (95 % upper bound).\n"
      "+5 % ...: percent regressed / inconclusive / passed of {} gates on one cell that is so much slower.\n\n",
      plan.n_cells, plan.seed, plan.n_families, plan.n_trials);
  PlanSimulation pull_request(plan, pull_request_plan(), progress, n_done);
  result.text += pull_request.run();
  PlanSimulation nightly(plan, nightly_plan(), progress, n_done);
  result.text += nightly.run();
  const BesideNeighbour beside = simulate_beside_neighbour(plan);
  result.text += beside.text;
  result.meets_aims = nightly.meets_aims() && beside.meets_aims;
  result.text += fmt::format(
      "Aims, for at most {} pairs and a run noise of up to 8 %, whatever the noise: {}\n"
      "  fewer than 1 % false families: worst {}\n"
      "  more than 99 % of +15 % found: worst {:.2f} % of {}\n",
      nightly_plan().max_pairs(), result.meets_aims ? "met" : "MISSED",
      count_text(nightly.worst_false_families(), plan.n_families), nightly.worst_detection(), plan.n_trials);
  return result;
}

std::string simulate_server_starts(const SelftestPlan& plan, Progress& progress) {
  constexpr double kRunNoise = 0.02;
  constexpr std::array kStartNoises = {0.01, 0.02, 0.04, 0.08};
  constexpr std::array<std::int64_t, 3> kPairsPerStart = {1, 2, 4};
  const PairedGate gate(interleaved_rule(), pull_request_plan(), plan.n_cells);
  TextTable table = empty_table("from start to start");
  table.columns.insert(table.columns.begin() + 1, "pairs a start");
  table.right_aligned.push_back(true);
  progress.begin("simulating starts of servers", std::ssize(kStartNoises) * std::ssize(kPairsPerStart));
  std::int64_t n_done = 0;
  for (const double sigma : kStartNoises) {
    for (const std::int64_t n_pairs : kPairsPerStart) {
      const ServerStarts starts{sigma, n_pairs};
      const auto counted = [&](double change, std::uint64_t seed) {
        return simulate_gates(gate, NoiseKind::kGaussian, kRunNoise, change, plan.n_trials, seed, plan.work, starts);
      };
      const std::int64_t n_false = simulate_false_families(gate, NoiseKind::kGaussian, kRunNoise, plan.n_cells,
                                                           plan.n_families, plan.seed, plan.work, starts);
      std::vector<std::string> cells = {fmt::format("{:.0f} %", 100 * sigma), std::to_string(n_pairs),
                                        count_text(n_false, plan.n_families),
                                        fmt::format("{:.0f}", mean_pairs(counted(0, plan.seed)))};
      for (const double change : kChanges) cells.push_back(shares(counted(change, plan.seed + 1)));
      table.rows.push_back(std::move(cells));
      progress.update(++n_done);
    }
  }
  return fmt::format(
      "The gate on two servers, threshold +10 %, {} cells, at most {} pairs, noise of one process {:.0f} % (gaussian), "
      "simulated with seed {}.\n"
      "from start to start: standard deviation of a time between two starts of the same server, whose pairs share it.\n"
      "false families: of {} comparisons of a server with itself, those in which any cell failed (95 % upper bound).\n"
      "+5 % ...: percent regressed / inconclusive / passed of {} gates on one cell that is so much slower.\n\n{}",
      plan.n_cells, gate.plan().max_pairs(), 100 * kRunNoise, plan.seed, plan.n_families, plan.n_trials,
      render_terminal(table));
}

std::string simulate_anchor_checks(const SelftestPlan& plan, Progress& progress) {
  constexpr std::array<std::pair<std::int64_t, std::int64_t>, 3> kNights = {{{5, 5}, {5, 10}, {10, 10}}};
  constexpr std::array kKinds = {NoiseKind::kGaussian, NoiseKind::kHeavyTailed};
  constexpr std::array kSigmas = {0.02, 0.05, 0.08, 0.12};
  constexpr std::array kSlower = {0.0, 0.15, 0.25, 0.50};
  TextTable table;
  table.columns = {"nights", "noise", "night to night", "false checks"};
  for (const double change : kSlower) table.columns.push_back(fmt::format("+{:.0f} %", 100 * change));
  table.right_aligned.assign(table.columns.size(), true);
  table.right_aligned[1] = false;
  progress.begin("simulating nights", std::ssize(kNights) * std::ssize(kKinds) * std::ssize(kSigmas));
  std::int64_t n_done = 0;
  for (const auto& [n_pinned, n_newest] : kNights) {
    for (const NoiseKind kind : kKinds) {
      for (const double sigma : kSigmas) {
        const AnchorNights nights{n_pinned, n_newest, kind, sigma};
        const std::int64_t n_false = simulate_false_checks(nights, plan.n_cells, plan.n_families, plan.seed, plan.work);
        std::vector<std::string> row = {fmt::format("{}, {}", n_pinned, n_newest), std::string(to_string(kind)),
                                        fmt::format("{:.0f} %", 100 * sigma), count_text(n_false, plan.n_families)};
        for (const double change : kSlower) {
          row.push_back(
              shares(simulate_anchors(nights, plan.n_cells, change, plan.n_trials, plan.seed + 1, plan.work)));
        }
        table.rows.push_back(std::move(row));
        progress.update(++n_done);
      }
    }
  }
  return fmt::format(
      "history check, threshold +10 %, {} verdicts (two for each cell), simulated with seed {}.\n"
      "nights: pinned ones, newest ones. night to night: standard deviation of the logarithm of a value; heavy-tailed: "
      "Student's t with 3 degrees of freedom and the same quartiles.\n"
      "false checks: of {} checks of an unchanged program, those in which any verdict failed (95 % upper bound).\n"
      "+0 % ...: percent regressed / inconclusive / passed of {} verdicts on one figure that is so much slower.\n\n{}",
      plan.n_cells, plan.seed, plan.n_families, plan.n_trials, render_terminal(table));
}

std::string pool_report(const PairPool& pool, bool same_build, const SelftestPlan& plan) {
  const auto n_cells = static_cast<std::int64_t>(pool.front().size());
  std::string text =
      fmt::format("{} measured pairs of {} cells and metrics:\n\n{}\n", pool.size(), n_cells, noise_text(pool));
  const PairedGate gates[] = {{interleaved_rule(), pull_request_plan(), n_cells},
                              {interleaved_rule(), nightly_plan(), n_cells}};
  TextTable table{.columns = {"gates", "change", "regressed", "inconclusive", "passed", "mean pairs"},
                  .right_aligned = {false, true, true, true, true, true},
                  .rows = {}};
  const auto add = [&](std::string name, double change, const GateCounts& counts) {
    const std::int64_t n = counts.n_gates();
    if (n == 0) return;
    table.rows.push_back({std::move(name), fmt::format("+{:.0f} %", 100 * change),
                          fmt::format("{} of {}", counts.n_regressed, n), std::to_string(counts.n_inconclusive),
                          std::to_string(counts.n_passed), fmt::format("{:.0f}", mean_pairs(counts))});
  };
  for (const PairedGate& gate : gates) {
    const std::string at_most = fmt::format("at most {} pairs", gate.plan().max_pairs());
    add(at_most + ", as measured", 0, disjoint_gates(gate, pool, 0));
    const Drawing drawing = same_build ? Drawing::kSwapSides : Drawing::kKeepSides;
    add(at_most + ", resampled", 0, resample_gates(gate, pool, drawing, 0, plan.n_trials, plan.seed, plan.work));
    for (const double change : kChanges) {
      if (!same_build) break;
      add(at_most + ", resampled", change,
          resample_gates(gate, pool, drawing, change, plan.n_trials, plan.seed + 1, plan.work));
    }
  }
  text += fmt::format(
      "as measured: disjoint stretches of the pool, in order. resampled: {} gates on pairs drawn with replacement{}, "
      "seed {}.\nA gate counts as regressed when any cell is, as passed when all are.\n\n{}",
      plan.n_trials, same_build ? ", sides swapped by a coin, the change added to one" : "", plan.seed,
      render_terminal(table));
  if (!same_build) return text;
  const double sigma = pool_noise(pool);
  text += fmt::format("\nSimulation fitted to the noisiest column (run noise {:.2f} %), one cell:\n", 100 * sigma);
  for (const NoiseKind noise : {NoiseKind::kGaussian, NoiseKind::kHeavyTailed}) {
    for (const double change : {0.0, kDetected}) {
      const GateCounts counts = simulate_gates(gates[0], noise, sigma, change, plan.n_trials, plan.seed + 2, plan.work);
      text += fmt::format("  {}, +{:.0f} %: regressed {}, inconclusive {}, passed {} of {}\n", to_string(noise),
                          100 * change, counts.n_regressed, counts.n_inconclusive, counts.n_passed, counts.n_gates());
    }
  }
  return text;
}

}  // namespace secondsource
