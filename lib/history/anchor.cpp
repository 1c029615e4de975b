#include "history/anchor.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "gate/trend.h"
#include "history/history_cell.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

/// A metric of the gate and the column of the history that it is computed from.
struct AnchorMetric {
  const char* name;
  const char* column;
  double seconds_per_unit;  ///< seconds per unit of badness()
};
constexpr AnchorMetric kAnchorMetrics[] = {{"cost", "output_tok_per_s", 1}, {"ttft", "ttft_p50", 1e-3}};

GateVerdict verdict_of(const std::string& cell, const AnchorMetric& metric, const AnchorVerdict& anchor,
                       const std::vector<double>& pinned, const std::vector<double>& recent) {
  GateVerdict verdict;
  verdict.cell = key_of_cell(cell);
  verdict.metric = metric.name;
  verdict.decision = anchor.decision;
  verdict.base_s = *median(pinned) * metric.seconds_per_unit;
  verdict.candidate_s = *median(recent) * metric.seconds_per_unit;
  verdict.change_percent = anchor.change_percent;
  verdict.low_percent = anchor.low_percent;
  verdict.high_percent = anchor.high_percent;
  verdict.why =
      fmt::format("the {} newest runs against the {} that are pinned: {:+.1f} % ({:+.1f} to {:+.1f})", recent.size(),
                  pinned.size(), anchor.change_percent, anchor.low_percent, anchor.high_percent);
  return verdict;
}

}  // namespace

Result<GateReport> compare_with_pinned(History& history, const AnchorOptions& options) {
  GateReport report;
  report.method = GateMethod::kPinnedAnchor;
  report.base_run_id = "pinned";
  report.candidate_run_id = "newest";
  report.threshold_percent = 100 * options.rule.threshold;
  SS_TRY(const std::vector<std::string> cells, history.newest_cells(options.branch));
  std::vector<bool> decides;
  for (const std::string& cell : cells) {
    SS_TRY(const bool is_opportunistic, history.is_opportunistic(options.branch, cell));
    decides.push_back(options.judge_opportunistic || !is_opportunistic);
  }
  const std::int64_t n_deciding = std::max<std::int64_t>(1, std::count(decides.begin(), decides.end(), true));
  const auto n_verdicts = n_deciding * static_cast<std::int64_t>(std::size(kAnchorMetrics));
  if (cells.empty()) report.not_comparable.push_back(fmt::format("branch {} has no runs", options.branch));
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string& cell = cells[i];
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
        report.verdicts.back().decides = decides[i];
      } else {
        report.list_for(report.not_comparable, decides[i])
            .push_back(fmt::format("{} {}: needs {} pinned and {} newer runs of one setup, has {} and {}", cell,
                                   anchor_metric.name, kAnchorNights, kAnchorNights, pinned.size(), recent.size()));
      }
    }
  }
  return report;
}

}  // namespace secondsource
