#include "report/history_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/counted.h"
#include "gate/rule.h"
#include "gate/trend.h"
#include "report/chart/trend.h"
#include "report/document.h"

namespace secondsource {
namespace {

std::string label_of(const HistoryPoint& point) {
  return fmt::format("{}, commit {}, run {}", point.started_utc.substr(0, 10), point.commit.substr(0, 12),
                     point.run_id.substr(0, 8));
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
  // The statistics take logarithms, which need positive values.
  if (std::all_of(bad.begin(), bad.end(), [](double value) { return value > 0; })) {
    for (const LevelChange& change : find_level_changes(bad)) {
      const double ratio = 1 + change.change_percent / 100;
      changes.push_back(
          {change.night, 100 * ((metric.larger_is_better ? 1 / ratio : ratio) - 1), change.change_percent > 0});
    }
  }
  const std::string title = history.cell + (history.outside_limits.empty() ? "" : ", outside its limits");
  return trend_chart(title, metric.title, points, changes);
}

Result<std::string> history_page(History& history, const std::string& branch, const std::vector<std::string>& cells,
                                 const HistoryMetric& metric) {
  std::vector<Chart> charts;
  std::vector<std::string> notes;
  for (const std::string& cell : cells) {
    SS_TRY(const CellHistory one, history.cell(branch, cell, metric));
    charts.push_back(trend_chart_of(one, metric));
    if (!one.outside_limits.empty()) {
      notes.push_back(
          fmt::format("{}: outside the limits of its quality ({}): it decides no gate", cell, one.outside_limits));
    }
    if (one.points.empty()) notes.push_back(fmt::format("{}: no run has a figure that counts", cell));
    if (one.n_other_setups > 0) {
      notes.push_back(fmt::format("{}: {} not drawn; drawn is: {}", cell,
                                  counted(one.n_other_setups, "run of another setup is", "runs of another setup are"),
                                  one.setup));
    }
    if (one.n_not_counted > 0) {
      notes.push_back(fmt::format("{}: {} not drawn: wrong tokens, an invalid measurement, a planted fault or no value",
                                  cell, counted(one.n_not_counted, "run is", "runs are")));
    }
  }
  Document document{"secondsource history", fmt::format("Branch {}: {}", branch, metric.title), {}};
  document.add(Section{"history", "Levels and their changes"});
  document.add(Paragraph{fmt::format(
      "A point is a run, oldest left, one step each. Black lines are levels; a dashed line is where the level changed "
      "(E-divisive means with a t-test at p <= {:g}, at least {} runs a level and {:.0f} % between two). {}",
      nightly_change_points().max_p, nightly_change_points().min_stretch,
      to_percent(nightly_change_points().min_difference),
      metric.larger_is_better ? "Larger is better." : "Smaller is better.")});
  document.add(Charts{charts});
  document.add(Bullets{notes});
  return render_html(document);
}

}  // namespace secondsource
