#include "gate/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "stats/quantile.h"

namespace secondsource {
namespace {

/// Below this share other processes are the system's own background; beyond it they are part of the measurement's
/// error.
constexpr double kQuietOthersShare = 0.02;

struct Metric {
  std::string_view name;
  /// One value a repetition, bad when it grows.
  std::vector<double> (*values)(const CellSummary&);
};

std::vector<double> seconds_per_output_token(const CellSummary& cell) {
  std::vector<double> values;
  for (const double rate : cell.output_tok_per_s_by_repetition) {
    if (rate > 0) values.push_back(1 / rate);
  }
  return values;
}

std::vector<double> ttft_seconds(const CellSummary& cell) {
  std::vector<double> values;
  for (const double ns : cell.ttft_p50_ns_by_repetition) {
    if (ns > 0) values.push_back(1e-9 * ns);
  }
  return values;
}

constexpr Metric kMetrics[] = {{"cost", seconds_per_output_token}, {"ttft", ttft_seconds}};

const CellSummary* find_cell(const RunSummary& summary, const CellKey& key) {
  for (const CellSummary& cell : summary.cells) {
    if (cell.key == key) return &cell;
  }
  return nullptr;
}

template <typename Records>
const typename Records::value_type* find_named(const Records& records, std::string_view name) {
  for (const auto& record : records) {
    if (record.name == name) return &record;
  }
  return nullptr;
}

std::string host_fact(const RunRecord& record, std::string_view name) {
  const HostFact* fact = find_named(record.host, name);
  return fact != nullptr && fact->value ? *fact->value : std::string();
}

/// Options that change speed and were chosen by the user; a planted fault is there to be found, so it may differ.
std::vector<std::pair<std::string, std::string>> comparable_options(const BackendRecord& backend) {
  auto options = backend.options;
  std::erase_if(options, [](const auto& option) { return option.first == "fault"; });
  return options;
}

std::optional<std::string> why_runs_differ(const RunRecord& base, const RunRecord& candidate) {
  const auto differ = [](std::string_view what, const auto& a, const auto& b) {
    return fmt::format("{}: the base has \"{}\", the candidate \"{}\"", what, a, b);
  };
  if (base.method_version != candidate.method_version) {
    return differ("measurement method version", base.method_version, candidate.method_version);
  }
  for (const std::string_view fact : {"cpu_model", "cpus_usable", "memory_bytes", "kernel"}) {
    const std::string a = host_fact(base, fact);
    const std::string b = host_fact(candidate, fact);
    if (a != b) return differ(fmt::format("host {}", fact), a, b);
  }
  return std::nullopt;
}

std::optional<std::string> why_cells_differ(const RunRecord& base, const RunRecord& candidate, const CellSummary& a,
                                            const CellSummary& b) {
  const BundleRecord* bundle_a = find_named(base.bundles, a.key.bundle);
  const BundleRecord* bundle_b = find_named(candidate.bundles, b.key.bundle);
  if (bundle_a == nullptr || bundle_b == nullptr) return "a run does not describe the bundle";
  if (bundle_a->content_sha256 != bundle_b->content_sha256) return "the bundle's content differs";
  const BackendRecord* backend_a = find_named(base.backends, a.key.backend);
  const BackendRecord* backend_b = find_named(candidate.backends, b.key.backend);
  if (backend_a == nullptr || backend_b == nullptr) return "a run does not describe the backend";
  if (backend_a->device.name != backend_b->device.name) {
    return fmt::format("the device differs: \"{}\" and \"{}\"", backend_a->device.name, backend_b->device.name);
  }
  if (backend_a->device.properties != backend_b->device.properties) return "the device's driver or properties differ";
  if (comparable_options(*backend_a) != comparable_options(*backend_b)) return "the backend's options differ";
  const Scenario& x = a.scenario;
  const Scenario& y = b.scenario;
  if (x.n_requests != y.n_requests || x.n_prompt_tokens != y.n_prompt_tokens ||
      x.n_output_tokens != y.n_output_tokens) {
    return "the scenario's requests or lengths differ";
  }
  return std::nullopt;
}

std::vector<double> logarithms(const std::vector<double>& values) {
  std::vector<double> result;
  result.reserve(values.size());
  for (const double value : values) result.push_back(std::log(value));
  return result;
}

/// The error that a sitting has in common, widened by what else the machine was busy with meanwhile.
double common_sigma(const CellSummary& base, const CellSummary& candidate, const GateRule& rule) {
  const double busiest = std::max(base.others_cpu_share.value_or(0), candidate.others_cpu_share.value_or(0));
  return std::hypot(rule.sitting_sigma, std::max(0.0, busiest - kQuietOthersShare));
}

GateVerdict judge(const CellSummary& base, const CellSummary& candidate, const Metric& metric, const GateRule& rule,
                  std::int64_t n_cells) {
  GateVerdict verdict;
  verdict.cell = candidate.key;
  verdict.metric = metric.name;
  const std::vector<double> a = metric.values(base);
  const std::vector<double> b = metric.values(candidate);
  verdict.base = median(a);
  verdict.candidate = median(b);
  const auto shift = estimate_shift(logarithms(a), logarithms(b), common_sigma(base, candidate, rule));
  if (!shift) {
    verdict.why =
        fmt::format("too few repetitions: the base has {}, the candidate {}, 5 are needed", a.size(), b.size());
    return verdict;
  }
  const auto percent = [](double log_ratio) { return 100 * std::expm1(log_ratio); };
  verdict.decision = decide(*shift, rule, n_cells);
  verdict.improved = is_improved(*shift, rule, n_cells);
  verdict.change_percent = percent(shift->estimate);
  verdict.low_percent = percent(shift->lower_bound(0.975));
  verdict.high_percent = percent(shift->upper_bound(0.975));
  verdict.why = fmt::format("{:+.1f} % (95 % within {:+.1f} to {:+.1f} %), threshold {:+.0f} %",
                            *verdict.change_percent, *verdict.low_percent, *verdict.high_percent, 100 * rule.threshold);
  const double busiest = std::max(base.others_cpu_share.value_or(0), candidate.others_cpu_share.value_or(0));
  if (busiest > kQuietOthersShare) {
    verdict.why += fmt::format("; other processes took {:.0f} % of the CPUs", 100 * busiest);
  }
  return verdict;
}

void apply_waivers(const GateOptions& options, GateReport& report) {
  std::set<std::string> matched;
  for (GateVerdict& verdict : report.verdicts) {
    for (const Waiver& waiver : options.waivers) {
      if (!matches(waiver.scope, verdict.cell, verdict.metric)) continue;
      matched.insert(waiver.id);
      if (verdict.decision != Decision::kRegressed || !verdict.waived_by.empty()) continue;
      const std::string about = fmt::format("waiver {}: {} {}", waiver.id, verdict.cell.id(), verdict.metric);
      if (is_expired(waiver, options.today)) {
        report.waiver_errors.push_back(fmt::format("{}: expired on {}", about, waiver.expires));
      } else if (*verdict.change_percent > waiver.ceiling_percent) {
        report.waiver_errors.push_back(fmt::format("{}: {:+.1f} % exceeds its ceiling of {:g} %", about,
                                                   *verdict.change_percent, waiver.ceiling_percent));
      } else {
        verdict.waived_by = waiver.id;
      }
    }
  }
  for (const Waiver& waiver : options.waivers) {
    if (!matched.contains(waiver.id)) {
      report.waiver_errors.push_back(fmt::format("waiver {}: matches no compared cell", waiver.id));
    }
  }
}

/// The cells that both runs measured and that may be compared; everything else is written down in the report.
std::vector<std::pair<const CellSummary*, const CellSummary*>> pair_cells(const SummarizedRun& base,
                                                                          const SummarizedRun& candidate,
                                                                          bool allow_unverified, GateReport& report) {
  std::vector<std::pair<const CellSummary*, const CellSummary*>> pairs;
  for (const CellSummary& before : base.summary.cells) {
    if (before.status != "complete") continue;  // the base has nothing to compare with
    const std::string id = before.key.id();
    const CellSummary* after = find_cell(candidate.summary, before.key);
    if (after == nullptr) {
      report.not_comparable.push_back(id + ": the candidate has no such cell");
    } else if (after->golden == "failed") {
      report.wrong_tokens.push_back(id);
    } else if (after->status == "failed" || after->status == "missing" || after->status == "partial") {
      report.failed.push_back(id + ": " + (after->notes.empty() ? after->status : after->notes.front()));
    } else if (after->status == "invalid") {
      report.not_comparable.push_back(id + ": INVALID: " + (after->notes.empty() ? "" : after->notes.front()));
    } else if (before.golden == "failed") {
      report.not_comparable.push_back(id + ": the base's tokens are wrong");
    } else if (!allow_unverified && (before.golden != "passed" || after->golden != "passed")) {
      report.not_comparable.push_back(id + ": the bundle is unverified (--allow-unverified judges it all the same)");
    } else if (const auto why = why_cells_differ(base.record, candidate.record, before, *after)) {
      report.not_comparable.push_back(id + ": " + *why);
    } else {
      pairs.emplace_back(&before, after);
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
  const auto pairs = pair_cells(base, candidate, options.allow_unverified, report);
  if (pairs.empty() && report.wrong_tokens.empty() && report.failed.empty()) {
    report.not_comparable.emplace_back("the two runs have no cell in common that can be compared");
  }
  const auto n_cells = static_cast<std::int64_t>(pairs.size() * std::size(kMetrics));
  for (const auto& [before, after] : pairs) {
    for (const Metric& metric : kMetrics) {
      report.verdicts.push_back(judge(*before, *after, metric, options.rule, n_cells));
    }
  }
  apply_waivers(options, report);
  return report;
}

}  // namespace secondsource
