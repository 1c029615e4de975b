#include "history/trend.h"

#include <fmt/format.h>

#include <algorithm>

#include "gate/trend.h"
#include "report/chart/trend.h"
#include "report/page.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

/// Bad when it grows, as the statistics want it.
double badness(const HistoryMetric& metric, double value) {
  return metric.larger_is_better ? 1 / value : value;
}

std::string label_of(const HistoryPoint& point) {
  return fmt::format("{}, commit {}, run {}", point.started_utc.substr(0, 10), point.commit.substr(0, 12),
                     point.run_id.substr(0, 8));
}

/// "bundle/backend/variant/scenario"; only a bundle's name may have slashes.
CellKey key_of(const std::string& cell) {
  CellKey key;
  std::string rest = cell;
  for (std::string* part : {&key.scenario, &key.variant, &key.backend}) {
    const std::size_t slash = std::min(rest.rfind('/'), rest.size());
    *part = rest.substr(std::min(slash + 1, rest.size()));
    rest.resize(slash);
  }
  key.bundle = rest;
  return key;
}

/// A gate's metric, from what a history keeps.
struct AnchorMetric {
  const char* name;
  const char* column;
  double seconds_per_unit;  ///< of badness()
};
constexpr AnchorMetric kAnchorMetrics[] = {{"cost", "output_tok_per_s", 1}, {"ttft", "ttft_p50", 1e-3}};

GateVerdict verdict_of(const std::string& cell, const AnchorMetric& metric, const AnchorVerdict& anchor,
                       const std::vector<double>& pinned, const std::vector<double>& recent) {
  GateVerdict verdict;
  verdict.cell = key_of(cell);
  verdict.metric = metric.name;
  verdict.decision = anchor.decision;
  verdict.base = *median(pinned) * metric.seconds_per_unit;
  verdict.candidate = *median(recent) * metric.seconds_per_unit;
  verdict.change_percent = anchor.change_percent;
  verdict.low_percent = anchor.low_percent;
  verdict.high_percent = anchor.high_percent;
  verdict.why =
      fmt::format("the {} newest runs against the {} that are pinned: {:+.1f} % ({:+.1f} to {:+.1f})", recent.size(),
                  pinned.size(), anchor.change_percent, anchor.low_percent, anchor.high_percent);
  return verdict;
}

}  // namespace

Chart trend_chart_of(const CellHistory& history, const HistoryMetric& metric) {
  std::vector<TrendPoint> points;
  std::vector<double> bad;
  for (const HistoryPoint& point : history.points) {
    points.push_back({label_of(point), point.value, point.pinned});
    bad.push_back(badness(metric, point.value));
  }
  std::vector<TrendChange> changes;
  // The statistics take logarithms.
  if (std::all_of(bad.begin(), bad.end(), [](double value) { return value > 0; })) {
    for (const LevelChange& change : find_level_changes(bad)) {
      const double ratio = 1 + change.change_percent / 100;
      changes.push_back(
          {change.night, 100 * ((metric.larger_is_better ? 1 / ratio : ratio) - 1), change.change_percent > 0});
    }
  }
  return trend_chart(history.cell, metric.title, points, changes);
}

Result<std::string> history_page(History& history, const std::string& branch, const std::vector<std::string>& cells,
                                 const HistoryMetric& metric) {
  std::vector<Chart> charts;
  std::vector<std::string> notes;
  for (const std::string& cell : cells) {
    SS_TRY(const CellHistory one, history.cell(branch, cell, metric));
    charts.push_back(trend_chart_of(one, metric));
    if (one.points.empty()) notes.push_back(fmt::format("{}: no run has a figure that counts", cell));
    if (one.n_other_setups > 0) {
      notes.push_back(
          fmt::format("{}: {} runs of another setup are not drawn; drawn is: {}", cell, one.n_other_setups, one.setup));
    }
    if (one.n_not_counted > 0) {
      notes.push_back(
          fmt::format("{}: {} runs are not drawn: wrong tokens, an invalid measurement, a planted fault or no value",
                      cell, one.n_not_counted));
    }
  }
  Page page("secondsource history", fmt::format("Branch {}: {}", branch, metric.title));
  page.section("history", "Levels and their changes");
  page.paragraph(fmt::format(
      "A point is a run, oldest left, one step each. Black lines are levels; a dashed line is where the level changed "
      "(E-divisive means with a t-test at p <= {:g}, at least {} runs a level and {:.0f} % between two). {}",
      nightly_change_points().max_p, nightly_change_points().min_stretch,
      to_percent(nightly_change_points().min_difference),
      metric.larger_is_better ? "Larger is better." : "Smaller is better."));
  page.charts(charts);
  page.list(notes);
  return std::move(page).finish();
}

Result<GateReport> compare_with_pinned(History& history, const AnchorOptions& options) {
  GateReport report;
  report.method = "newest runs against the pinned anchor";
  report.base_run_id = "pinned";
  report.candidate_run_id = "newest";
  report.threshold_percent = 100 * options.rule.threshold;
  SS_TRY(const std::vector<std::string> cells, history.newest_cells(options.branch));
  const auto n_verdicts = static_cast<std::int64_t>(cells.size() * std::size(kAnchorMetrics));
  if (cells.empty()) report.not_comparable.push_back(fmt::format("branch {} has no runs", options.branch));
  for (const std::string& cell : cells) {
    for (const AnchorMetric& anchor_metric : kAnchorMetrics) {
      const HistoryMetric& metric = *find_history_metric(anchor_metric.column);
      SS_TRY(const CellHistory one, history.cell(options.branch, cell, metric));
      std::vector<double> pinned, recent;
      for (auto point = one.points.rbegin(); point != one.points.rend(); ++point) {
        const bool is_recent = static_cast<std::int64_t>(recent.size()) < options.n_recent;
        if (point->pinned) {
          pinned.push_back(badness(metric, point->value));
        } else if (is_recent && point->value > 0) {
          recent.push_back(badness(metric, point->value));
        }
      }
      const auto verdict = compare_with_anchor(pinned, recent, options.rule, n_verdicts);
      if (verdict) {
        report.verdicts.push_back(verdict_of(cell, anchor_metric, *verdict, pinned, recent));
      } else {
        report.not_comparable.push_back(
            fmt::format("{} {}: needs {} pinned and {} newer runs of one setup, has {} and {}", cell,
                        anchor_metric.name, kAnchorNights, kAnchorNights, pinned.size(), recent.size()));
      }
    }
  }
  return report;
}

}  // namespace secondsource
