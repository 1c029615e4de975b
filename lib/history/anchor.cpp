#include "history/anchor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "gate/metric.h"
#include "gate/trend.h"
#include "history/history_cell.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

/// A metric of the gate and the column of the history that it is computed from.
struct AnchorMetric {
  std::string_view name;
  const char* column;
  double seconds_per_unit;  ///< seconds per unit of badness()
};
constexpr AnchorMetric kAnchorMetrics[] = {{"cost", "output_tok_per_s", 1},
                                           {"ttft", "ttft_p50", 1e-3},
                                           {"ttft_later", "ttft_later_p50", 1e-3},
                                           {"tpot", "tpot_p50", 1e-3}};

using CellsById = std::map<std::string, HistoryCell>;

struct AnchorRun {
  HistoryRun run;
  CellsById cells;
};

/// The runs of a branch that are held against each other, the newest first.
struct AnchorRuns {
  std::vector<AnchorRun> pinned;
  std::vector<AnchorRun> newest;  ///< not pinned, and begun after the first pinned one
};

/// Whether one run of a cell counts, and if not, why.
enum class Standing : std::uint8_t {
  kCounts,
  kWrong,
  kDeclined,
  kFailed,
  kNeverRan,
  kPartial,
  kInvalid,
  kFault,
  kUnverified,
  kOtherSetup,
  kAbsent
};
struct StandingText {
  const char* of_runs;         ///< "2 INVALID", as a reason why runs are left out
  const char* in_newest = "";  ///< "INVALID in the newest run", where that alone is a finding; else empty
};
constexpr std::array<StandingText, 11> kStandingTexts = {{{"that count"},
                                                          {"with wrong tokens"},
                                                          {"declined", "declined in"},
                                                          {"failed", "failed in"},
                                                          {"that never ran", "never ran in"},
                                                          {"partial", "has fewer repetitions than planned in"},
                                                          {"INVALID", "INVALID in"},
                                                          {"with a planted fault", "measured with a planted fault in"},
                                                          {"unverified", "the bundle is unverified in"},
                                                          {"of another setup"},
                                                          {"without this cell", "absent from"}}};

/// What the runs of one cell are held against each other with.
struct CellRuns {
  std::string id;
  bool decides = true;
  std::vector<const HistoryCell*> pinned, newest;  ///< one per run, the newest first; null: the run has no such cell
  std::vector<Standing> pinned_standing, newest_standing;

  [[nodiscard]] bool is_pinned_always(std::initializer_list<Standing> of) const {
    return std::ranges::all_of(pinned_standing, [&](Standing one) { return std::ranges::find(of, one) != of.end(); });
  }
  /// No pinned run has the cell or was meant to measure it, so that there is nothing to hold it against.
  [[nodiscard]] bool is_new() const {
    return !pinned.empty() && is_pinned_always({Standing::kAbsent, Standing::kDeclined});
  }
  /// A backend that declines what no pinned run measured has lost nothing.
  [[nodiscard]] bool is_declined() const {
    return newest_standing.front() == Standing::kDeclined &&
           is_pinned_always({Standing::kAbsent, Standing::kDeclined, Standing::kFailed, Standing::kNeverRan});
  }
};

std::string id_of(const HistoryCell& cell) {
  return CellKey{cell.bundle, cell.backend, cell.variant, cell.scenario}.id();
}

Result<AnchorRuns> choose_runs(History& history, const AnchorOptions& options) {
  SS_TRY(const std::vector<HistoryRun> runs, history.runs(options.branch, 0));
  const auto first_pinned = std::find_if(runs.rbegin(), runs.rend(), [](const HistoryRun& run) { return run.pinned; });
  const auto n_newer = first_pinned == runs.rend() ? runs.size() : static_cast<std::size_t>(runs.rend() - first_pinned);
  AnchorRuns chosen;
  for (std::size_t i = 0; i < n_newer; ++i) {
    const HistoryRun& run = runs[i];
    if (!run.pinned && static_cast<std::int64_t>(chosen.newest.size()) >= options.n_recent) continue;
    AnchorRun& one = (run.pinned ? chosen.pinned : chosen.newest).emplace_back(AnchorRun{run, {}});
    SS_TRY(std::vector<HistoryCell> cells, history.cells_of_run(run.run_id));
    for (HistoryCell& cell : cells) one.cells.emplace(id_of(cell), std::move(cell));
  }
  return chosen;
}

/// The order is that of the gate on stored runs.
Standing standing_of(const HistoryCell* cell, const std::string& setup, const AnchorOptions& options) {
  if (cell == nullptr) return Standing::kAbsent;
  if (cell->golden == GoldenVerdict::kFailed) return Standing::kWrong;
  if (cell->declined) return Standing::kDeclined;
  if (cell->status == CellStatus::kFailed) return Standing::kFailed;
  if (cell->status == CellStatus::kMissing) return Standing::kNeverRan;
  if (cell->status == CellStatus::kPartial) return Standing::kPartial;
  if (cell->status == CellStatus::kInvalid) return Standing::kInvalid;
  if (!cell->counts) return Standing::kFault;  // the only other reason that History::add() knows
  if (cell->golden != GoldenVerdict::kPassed && !options.allow_unverified) return Standing::kUnverified;
  return cell->setup == setup ? Standing::kCounts : Standing::kOtherSetup;
}

CellRuns runs_of(const std::string& id, const AnchorRuns& runs, const AnchorOptions& options) {
  CellRuns cell;
  cell.id = id;
  const auto find_in = [&](const std::vector<AnchorRun>& in, std::vector<const HistoryCell*>& found) {
    for (const AnchorRun& one : in) {
      const auto place = one.cells.find(id);
      found.push_back(place == one.cells.end() ? nullptr : &place->second);
    }
  };
  find_in(runs.newest, cell.newest);
  find_in(runs.pinned, cell.pinned);
  // The newest run that has the cell says whether the variant is opportunistic, and the newest one that counts which
  // setup is compared.
  const HistoryCell* newest = nullptr;
  const HistoryCell* counted = nullptr;
  for (const auto* list : {&cell.newest, &cell.pinned}) {
    for (const HistoryCell* one : *list) {
      if (one == nullptr) continue;
      if (newest == nullptr) newest = one;
      if (counted == nullptr && standing_of(one, one->setup, options) == Standing::kCounts) counted = one;
    }
  }
  const std::string setup = counted != nullptr ? counted->setup : "";
  cell.decides = options.judge_opportunistic || newest == nullptr || newest->tier != Tier::kOpportunistic;
  for (const HistoryCell* one : cell.newest) cell.newest_standing.push_back(standing_of(one, setup, options));
  for (const HistoryCell* one : cell.pinned) cell.pinned_standing.push_back(standing_of(one, setup, options));
  return cell;
}

/// The cells that are judged: those that a pinned run measured, those of the newest run, and those with wrong tokens in
/// any of the newest runs.
std::set<std::string> judged_cells(const AnchorRuns& runs) {
  std::set<std::string> ids;
  for (const AnchorRun& one : runs.pinned) {
    for (const auto& [id, cell] : one.cells) {
      if (cell.counts && cell.status == CellStatus::kComplete) ids.insert(id);
    }
  }
  for (const AnchorRun& one : runs.newest) {
    for (const auto& [id, cell] : one.cells) {
      if (&one == &runs.newest.front() || cell.golden == GoldenVerdict::kFailed) ids.insert(id);
    }
  }
  return ids;
}

std::string run_and_date(const HistoryRun& run) {
  return fmt::format("{} of {}", run.run_id, run.started_utc);
}

/// "1 with wrong tokens, 2 INVALID": the runs that do not count. Empty if all of them do.
std::string left_out(const std::vector<Standing>& standings) {
  std::vector<std::string> parts;
  for (std::size_t i = 1; i < kStandingTexts.size(); ++i) {
    const auto n = std::ranges::count(standings, static_cast<Standing>(i));
    if (n > 0) parts.push_back(fmt::format("{} {}", n, kStandingTexts[i].of_runs));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// "the 10 newest runs", or "8 of the 10 newest runs (left out: 2 INVALID)".
std::string counted_text(std::size_t n_counted, const std::vector<Standing>& standings, const char* what) {
  if (n_counted == standings.size()) return fmt::format("the {} {}", n_counted, what);
  const std::string why = left_out(standings);
  return fmt::format("{} of the {} {} (left out: {})", n_counted, standings.size(), what,
                     why.empty() ? "without this figure" : why);
}

/// Lists what is never a pass: wrong tokens in any of the newest runs, and a newest run that could not measure the cell
/// or whose figures must not be compared; and what is not judged. Returns whether there was anything.
bool add_findings(const CellRuns& cell, const AnchorRuns& runs, GateReport& report) {
  const auto in_how_many = [&](Standing standing) { return std::ranges::count(cell.newest_standing, standing); };
  const std::size_t n_newest = runs.newest.size();
  const auto wrong = std::ranges::find(cell.newest_standing, Standing::kWrong);
  const bool has_wrong = wrong != cell.newest_standing.end();
  if (has_wrong) {
    const HistoryRun& last = runs.newest[static_cast<std::size_t>(wrong - cell.newest_standing.begin())].run;
    report.list_for(report.wrong_tokens, cell.decides)
        .push_back(fmt::format("{}: {}in {} of the {} newest runs, the last time in {}", cell.id,
                               cell.decides ? "" : "wrong tokens ", in_how_many(Standing::kWrong), n_newest,
                               run_and_date(last)));
  }
  const Standing now = cell.newest_standing.front();
  const std::string_view finding = kStandingTexts[static_cast<std::size_t>(now)].in_newest;
  if (finding.empty() || (now == Standing::kAbsent && cell.is_new())) {
    if (!has_wrong && cell.is_new()) report.not_judged.push_back(cell.id + ": no pinned run measured it");
    return has_wrong || cell.is_new();
  }
  const std::string text =
      fmt::format("{}: {} the newest run, {}; that holds for {} of the {} newest runs{}", cell.id, finding,
                  run_and_date(runs.newest.front().run), in_how_many(now), n_newest,
                  now == Standing::kUnverified ? " (--allow-unverified judges it all the same)" : "");
  const bool is_failure =
      now == Standing::kDeclined || now == Standing::kFailed || now == Standing::kNeverRan || now == Standing::kPartial;
  if (cell.is_declined()) {
    report.not_judged.push_back(text + ", and no pinned run measured it");
  } else {
    report.list_for(is_failure ? report.failed : report.not_comparable, cell.decides).push_back(text);
  }
  return true;
}

std::vector<double> values_of(const std::vector<const HistoryCell*>& cells, const std::vector<Standing>& standings,
                              const HistoryMetric& metric) {
  std::vector<double> values;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (standings[i] != Standing::kCounts) continue;
    const double value = (cells[i]->*metric.exported).value_or(0) * metric.per_unit;
    if (value > 0) values.push_back(badness(metric, value));
  }
  return values;
}

void judge(const CellRuns& cell, std::string_view metric_name, const AnchorOptions& options, std::int64_t n_verdicts,
           bool has_findings, GateReport& report) {
  const AnchorMetric& anchor_metric = *std::ranges::find(kAnchorMetrics, metric_name, &AnchorMetric::name);
  const HistoryMetric& metric = *find_history_metric(anchor_metric.column);
  const std::vector<double> pinned = values_of(cell.pinned, cell.pinned_standing, metric);
  const std::vector<double> recent = values_of(cell.newest, cell.newest_standing, metric);
  const std::string newest_text = counted_text(recent.size(), cell.newest_standing, "newest runs");
  const std::string pinned_text = counted_text(pinned.size(), cell.pinned_standing, "pinned ones");
  const auto anchor = compare_with_anchor(pinned, recent, options.rule, n_verdicts);
  if (!anchor) {
    if (has_findings) return;  // the cell is listed already, with a better reason
    report.list_for(report.not_comparable, cell.decides)
        .push_back(fmt::format("{} {}: needs {} pinned and {} newer runs of one setup, has {} and {}: {} against {}",
                               cell.id, anchor_metric.name, kAnchorNights, kAnchorNights, pinned.size(), recent.size(),
                               newest_text, pinned_text));
    return;
  }
  GateVerdict& verdict = report.verdicts.emplace_back();
  verdict.cell = key_of_cell(cell.id);
  verdict.metric = anchor_metric.name;
  verdict.decides = cell.decides;
  verdict.decision = anchor->decision;
  verdict.base_s = *median(pinned) * anchor_metric.seconds_per_unit;
  verdict.candidate_s = *median(recent) * anchor_metric.seconds_per_unit;
  verdict.change_percent = anchor->change_percent;
  verdict.low_percent = anchor->low_percent;
  verdict.high_percent = anchor->high_percent;
  verdict.why = fmt::format("{} against {}: {:+.1f} % ({:+.1f} to {:+.1f})", newest_text, pinned_text,
                            anchor->change_percent, anchor->low_percent, anchor->high_percent);
}

}  // namespace

Result<GateReport> compare_with_pinned(History& history, const AnchorOptions& options) {
  GateReport report;
  report.method = GateMethod::kPinnedAnchor;
  report.base_run_id = "pinned";
  report.candidate_run_id = "newest";
  report.threshold_percent = 100 * options.rule.threshold;
  SS_TRY(const AnchorRuns runs, choose_runs(history, options));
  if (runs.newest.empty()) {
    report.not_comparable.push_back(
        runs.pinned.empty() ? fmt::format("branch {} has no runs", options.branch)
                            : fmt::format("branch {} has no runs newer than the {} that are pinned, and needs {}",
                                          options.branch, runs.pinned.size(), kAnchorNights));
    return report;
  }
  std::vector<CellRuns> cells;
  for (const std::string& id : judged_cells(runs)) cells.push_back(runs_of(id, runs, options));
  if (cells.empty()) {
    report.not_comparable.push_back(fmt::format("branch {} has no cell in its newest run, {}", options.branch,
                                                run_and_date(runs.newest.front().run)));
  }
  report.compared.push_back(fmt::format("the {} newest runs, {} to {}, against the {} that are pinned",
                                        runs.newest.size(), run_and_date(runs.newest.back().run),
                                        run_and_date(runs.newest.front().run), runs.pinned.size()));
  const std::int64_t n_deciding = std::max<std::int64_t>(
      1, std::ranges::count_if(cells, [](const CellRuns& cell) { return cell.decides && !cell.is_new(); }));
  const auto n_verdicts = n_deciding * static_cast<std::int64_t>(kMetricsPerCell);
  for (const CellRuns& cell : cells) {
    const bool has_findings = add_findings(cell, runs, report);
    if (const std::string without = left_out(cell.newest_standing); !without.empty()) {
      report.compared.push_back(
          fmt::format("{}: left out of the {} newest runs: {}", cell.id, runs.newest.size(), without));
    }
    const Scenario load = load_of_name(key_of_cell(cell.id).scenario);
    for (const GateMetric& metric : gate_metrics_of(load)) {
      judge(cell, metric.name, options, n_verdicts, has_findings, report);
    }
  }
  const bool has_findings = !report.wrong_tokens.empty() || !report.failed.empty() || !report.not_comparable.empty() ||
                            !report.without_effect.empty();
  if (report.verdicts.empty() && !has_findings) {
    report.not_comparable.emplace_back("the newest runs have no cell that a pinned run measured");
  }
  return report;
}

}  // namespace secondsource
