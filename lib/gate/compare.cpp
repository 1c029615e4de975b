#include "gate/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gate/apply_waivers.h"
#include "gate/comparable.h"
#include "gate/metric.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

const CellSummary* find_cell(const RunSummary& summary, const CellKey& key) {
  for (const CellSummary& cell : summary.cells) {
    if (cell.key == key) return &cell;
  }
  return nullptr;
}

/// Other load on the machine during the two sittings.
struct Disturbance {
  double time_lost = 0;       ///< share of its time that the system lost to it in the busier sitting
  double machine_change = 0;  ///< ln(candidate / base) of the machine's speed
};

/// The share of the system's time that was lost to other work. Work on CPUs that the system did not need costs no time.
/// Runs that do not record this share use instead the share of all CPUs that other processes used.
double time_lost_of(const CellSummary& cell) {
  return cell.time_lost.value_or(cell.others_cpu_share.value_or(0));
}

double change_between(std::optional<double> a, std::optional<double> b) {
  return a && b && *a > 0 && *b > 0 ? std::log(*b / *a) : 0;
}

/// A neighbour outside this system (another virtual machine) takes clock rate, execution units and bandwidth without
/// appearing in the CPU shares; only the machine probe beside the repetitions shows it. The change of the read rate is
/// weighted by how near the steps read to their limit.
Disturbance disturbance_of(const CellSummary& base, const CellSummary& candidate) {
  const double clock = change_between(base.machine_f32_flops, candidate.machine_f32_flops);
  const double reading = std::min(1.0, base.read_fraction.value_or(1)) *
                         change_between(base.machine_read_bytes_per_s, candidate.machine_read_bytes_per_s);
  return {.time_lost = std::max(time_lost_of(base), time_lost_of(candidate)),
          .machine_change = std::abs(clock) > std::abs(reading) ? clock : reading};
}

/// The relative error common to all values of a sitting, widened by the other load on the machine.
double common_sigma(const Disturbance& disturbance, const GateRule& rule) {
  return std::hypot(rule.sitting_sigma, std::max(0.0, disturbance.time_lost - kQuietTimeLost),
                    std::max(0.0, std::abs(disturbance.machine_change) - kQuietMachineChange));
}

GateVerdict judge(const CellSummary& base, const CellSummary& candidate, const GateMetric& metric, const GateRule& rule,
                  std::int64_t n_cells) {
  GateVerdict verdict;
  verdict.cell = candidate.key;
  verdict.metric = metric.name;
  const std::vector<double> a = metric.values(base);
  const std::vector<double> b = metric.values(candidate);
  verdict.base_s = median(a);
  verdict.candidate_s = median(b);
  const Disturbance disturbance = disturbance_of(base, candidate);
  const auto shift = estimate_shift(logarithms(a), logarithms(b), common_sigma(disturbance, rule));
  if (!shift) {
    verdict.why = fmt::format(
        "too few repetitions: the base has {}, the candidate {}, 5 are needed; measure both with --repetitions 5",
        a.size(), b.size());
    return verdict;
  }
  // This is the only look, but it is not marked as the last one: sittings differ enough that the lower bound has to be
  // required too.
  const Look look{.alpha = rule.family_alpha / static_cast<double>(n_cells), .is_last = false};
  const ShiftEvidence evidence = evidence_of(*shift, rule);
  verdict.decision = decide(evidence, rule, look);
  verdict.improved = is_improved(evidence, rule, look);
  verdict.change_percent = to_percent(shift->estimate);
  verdict.low_percent = to_percent(shift->lower_bound(0.975));
  verdict.high_percent = to_percent(shift->upper_bound(0.975));
  verdict.why = fmt::format("{:+.1f} % (95 % within {:+.1f} to {:+.1f} %), threshold {:+.0f} %",
                            *verdict.change_percent, *verdict.low_percent, *verdict.high_percent, 100 * rule.threshold);
  if (disturbance.time_lost > kQuietTimeLost) {
    verdict.why += fmt::format("; other work took {:.0f} % of the time", 100 * disturbance.time_lost);
  }
  if (std::abs(disturbance.machine_change) > kQuietMachineChange) {
    verdict.why += fmt::format("; between the two the machine itself changed by {:+.0f} %",
                               to_percent(disturbance.machine_change));
  }
  return verdict;
}

/// A cell that both runs measured.
struct CellPair {
  const CellSummary* before = nullptr;
  const CellSummary* after = nullptr;
  bool decides = true;
};

/// Returns the cells that both runs measured and that are comparable; the report lists all others.
std::vector<CellPair> pair_cells(const SummarizedRun& base, const SummarizedRun& candidate, const GateOptions& options,
                                 GateReport& report) {
  std::vector<CellPair> pairs;
  for (const CellSummary& before : base.summary.cells) {
    if (before.status != CellStatus::kComplete) continue;  // the base has no value to compare with
    const std::string id = before.key.id();
    const CellSummary* after = find_cell(candidate.summary, before.key);
    // A run by an earlier release does not record its tiers.
    const bool is_opportunistic =
        before.tier == Tier::kOpportunistic || (after != nullptr && after->tier == Tier::kOpportunistic);
    const bool decides = options.judge_opportunistic || !is_opportunistic;
    auto& not_comparable = report.list_for(report.not_comparable, decides);
    if (after == nullptr) {
      not_comparable.push_back(id + ": the candidate has no such cell");
    } else if (after->golden == GoldenVerdict::kFailed) {
      report.list_for(report.wrong_tokens, decides).push_back(decides ? id : id + ": wrong tokens");
    } else if (after->status == CellStatus::kFailed || after->status == CellStatus::kMissing ||
               after->status == CellStatus::kPartial) {
      report.list_for(report.failed, decides).push_back(id + ": " + why_incomplete(*after));
    } else if (after->status == CellStatus::kInvalid) {
      not_comparable.push_back(id + ": " + why_incomplete(*after));
    } else if (before.golden == GoldenVerdict::kFailed) {
      not_comparable.push_back(id + ": the base's tokens are wrong");
    } else if (!options.allow_unverified &&
               (before.golden != GoldenVerdict::kPassed || after->golden != GoldenVerdict::kPassed)) {
      not_comparable.push_back(id + ": the bundle is unverified (--allow-unverified judges it all the same)");
    } else if (const auto why = why_cells_differ(base.record, candidate.record, before, *after, UnderTest::kCode)) {
      not_comparable.push_back(id + ": " + *why);
    } else {
      pairs.push_back({&before, after, decides});
    }
  }
  return pairs;
}

}  // namespace

GateReport compare_runs(const SummarizedRun& base, const SummarizedRun& candidate, const GateOptions& options) {
  GateReport report;
  report.base_run_id = base.record.run_id;
  report.candidate_run_id = candidate.record.run_id;
  report.threshold_percent = 100 * options.rule.threshold;
  if (const auto why = why_runs_differ(base.record, candidate.record)) {
    report.not_comparable.push_back(*why);
    return report;
  }
  const std::vector<CellPair> pairs = pair_cells(base, candidate, options, report);
  if (pairs.empty() && report.wrong_tokens.empty() && report.failed.empty() && report.without_effect.empty()) {
    report.not_comparable.emplace_back("the two runs have no cell in common that can be compared");
  }
  for (const CellPair& pair : pairs) {
    for (std::string& line : labelled_differences(base.record, candidate.record, pair.before->key)) {
      if (std::ranges::find(report.compared, line) == report.compared.end()) report.compared.push_back(std::move(line));
    }
  }
  // The permitted chance of a false alarm is divided among the verdicts that can fail the gate.
  const std::int64_t n_deciding = std::ranges::count_if(pairs, &CellPair::decides);
  const auto n_verdicts = std::max<std::int64_t>(1, n_deciding) * static_cast<std::int64_t>(kMetricsPerCell);
  for (const CellPair& pair : pairs) {
    for (const GateMetric& metric : gate_metrics_of(pair.after->scenario)) {
      report.verdicts.push_back(judge(*pair.before, *pair.after, metric, options.rule, n_verdicts));
      report.verdicts.back().decides = pair.decides;
    }
  }
  apply_waivers(options.waivers, options.today, report);
  return report;
}

}  // namespace secondsource
