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
  verdict.why = fmt::format("{:+.1f} % (95 % within {:+.1f} to {:+.1f} %), {}", *verdict.change_percent,
                            *verdict.low_percent, *verdict.high_percent, threshold_text(rule));
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

bool is_complete(const CellSummary& cell) {
  return cell.status == CellStatus::kComplete;
}

/// The backend's record if the run could not use it; otherwise null.
const BackendRecord* unavailable_backend(const SummarizedRun& run, const CellKey& key) {
  const auto found = std::ranges::find(run.record.backends, key.backend, &BackendRecord::name);
  return found != run.record.backends.end() && !found->unavailable.empty() ? &*found : nullptr;
}

/// Divides the cells of two runs into those that can be judged and findings about all others. Each cell has one finding:
/// what is wrong with the candidate comes first, so that no state of the base hides it.
class CellSorter {
 public:
  CellSorter(const SummarizedRun& base, const SummarizedRun& candidate, const GateOptions& options, GateReport& report)
      : base_(base), candidate_(candidate), options_(options), report_(report) {}

  /// Adds the findings about the candidate alone: wrong tokens, failures and INVALID measurements.
  void add_findings_of_candidate() {
    for (const CellSummary& after : candidate_.summary.cells) {
      add_finding_of_candidate(find_cell(base_.summary, after.key), after);
    }
  }

  /// Adds all findings, and returns the cells that both runs measured and that are comparable.
  std::vector<CellPair> sort() {
    std::vector<CellPair> pairs;
    for (const CellSummary& before : base_.summary.cells) {
      const CellSummary* after = find_cell(candidate_.summary, before.key);
      if (after == nullptr) {
        add_absent_of_candidate(before);
      } else if (!add_finding_of_candidate(&before, *after) && is_judged(before, *after)) {
        pairs.push_back({&before, after, decides(&before, after)});
      }
    }
    for (const CellSummary& after : candidate_.summary.cells) {
      if (find_cell(base_.summary, after.key) == nullptr && !add_finding_of_candidate(nullptr, after)) {
        add_absent_of_base(after);
      }
    }
    return pairs;
  }

 private:
  /// False for opportunistic variants. A run by an earlier release does not record its tiers.
  [[nodiscard]] bool decides(const CellSummary* before, const CellSummary* after) const {
    const auto is_opportunistic = [](const CellSummary* cell) {
      return cell != nullptr && cell->tier == Tier::kOpportunistic;
    };
    return options_.judge_opportunistic || (!is_opportunistic(before) && !is_opportunistic(after));
  }

  [[nodiscard]] bool is_unproven(const CellSummary& cell) const {
    return !options_.allow_unverified && cell.golden != GoldenVerdict::kPassed;
  }

  void refuse(const CellSummary* before, const CellSummary* after, const std::string& why) {
    report_.list_for(report_.not_comparable, decides(before, after))
        .push_back(fmt::format("{}: {}", (after != nullptr ? after : before)->key.id(), why));
  }

  /// Returns false if there is nothing wrong with the candidate's cell. `before` is null if the base has no such cell.
  bool add_finding_of_candidate(const CellSummary* before, const CellSummary& after) {
    const std::string id = after.key.id();
    const bool counts = decides(before, &after);
    if (after.golden == GoldenVerdict::kFailed) {
      report_.list_for(report_.wrong_tokens, counts).push_back(counts ? id : id + ": wrong tokens");
    } else if (after.status == CellStatus::kInvalid) {
      refuse(before, &after, why_incomplete(after));
    } else if (is_declined(candidate_.record, candidate_.summary, after) &&
               (before == nullptr || is_declined(base_.record, base_.summary, *before))) {
      report_.not_judged.push_back(fmt::format("{}: {}", id, why_incomplete(after)));
    } else if (!is_complete(after)) {
      report_.list_for(report_.failed, counts).push_back(fmt::format("{}: {}", id, why_incomplete(after)));
    } else {
      return false;
    }
    return true;
  }

  void add_absent_of_candidate(const CellSummary& before) {
    if (const BackendRecord* backend = unavailable_backend(candidate_, before.key)) {
      report_.list_for(report_.failed, decides(&before, nullptr))
          .push_back(fmt::format("{}: unavailable: {}", before.key.id(), backend->unavailable));
    } else {
      refuse(&before, nullptr, "the candidate has no such cell");
    }
  }

  /// The candidate's cell is complete. It may be new, unless the base was told to measure its backend.
  void add_absent_of_base(const CellSummary& after) {
    const BackendRecord* backend = unavailable_backend(base_, after.key);
    const std::string why = backend == nullptr
                                ? std::string("the base has no such cell")
                                : fmt::format("the base did not measure it: unavailable: {}", backend->unavailable);
    if (backend != nullptr && is_named(base_.record, after.key.backend)) {
      refuse(nullptr, &after, why);
    } else if (is_unproven(after)) {
      refuse(nullptr, &after, fmt::format("{}, and {}", why, kUnproven));
    } else {
      report_.not_judged.push_back(fmt::format("{}: {}", after.key.id(), why));
    }
  }

  /// The candidate's cell is complete.
  bool is_judged(const CellSummary& before, const CellSummary& after) {
    if (before.golden == GoldenVerdict::kFailed) {
      refuse(&before, &after, "the base's tokens are wrong");
    } else if (!is_declined(base_.record, base_.summary, before) && !is_complete(before)) {
      refuse(&before, &after, "the base did not measure it: " + why_incomplete(before));
    } else if (is_unproven(after) || (is_complete(before) && is_unproven(before))) {
      refuse(&before, &after, kUnproven);
    } else if (!is_complete(before)) {
      report_.not_judged.push_back(
          fmt::format("{}: the base did not measure it: {}", after.key.id(), why_incomplete(before)));
    } else if (const auto why = why_cells_differ(base_.record, candidate_.record, before, after, UnderTest::kCode)) {
      refuse(&before, &after, *why);
    } else if (const auto none = why_without_value(before, after)) {
      refuse(&before, &after, *none);
    } else {
      return true;
    }
    return false;
  }

  /// Why the repetitions that have a value would speak for others that have none; nullopt if all have one.
  static std::optional<std::string> why_without_value(const CellSummary& before, const CellSummary& after) {
    for (const GateMetric& metric : gate_metrics_of(after.scenario)) {
      if (auto why = metric.why_without_value(after, " of the candidate")) return why;
      if (auto why = metric.why_without_value(before, " of the base")) return why;
    }
    return std::nullopt;
  }

  static constexpr const char* kUnproven = "the bundle is unverified (--allow-unverified judges it all the same)";

  const SummarizedRun& base_;
  const SummarizedRun& candidate_;
  const GateOptions& options_;
  GateReport& report_;
};

}  // namespace

GateReport compare_runs(const SummarizedRun& base, const SummarizedRun& candidate, const GateOptions& options) {
  GateReport report;
  report.base_run_id = base.record.run_id;
  report.candidate_run_id = candidate.record.run_id;
  report.threshold_percent = 100 * options.rule.threshold;
  CellSorter cells(base, candidate, options, report);
  if (const auto why = why_runs_differ(base.record, candidate.record)) {
    report.not_comparable.push_back(*why);
    cells.add_findings_of_candidate();
    apply_waivers(options.waivers, options.today, report);
    return report;
  }
  const std::vector<CellPair> pairs = cells.sort();
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
