#include "report/chart/distribution.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/chart/axes.h"

namespace secondsource {
namespace {

std::string or_dash(const std::optional<double>& value) {
  return value ? figure_text(*value) : "-";
}

TextTable table_of(std::string_view of, std::string_view unit, std::span<const DistributionSeries> series) {
  TextTable table;
  table.columns = {"series",
                   std::string(of),
                   fmt::format("smallest {}", unit),
                   fmt::format("p50 {}", unit),
                   fmt::format("p95 {}", unit),
                   fmt::format("p99 {}", unit),
                   fmt::format("largest {}", unit)};
  table.right_aligned = {false, true, true, true, true, true, true};
  for (const auto& [label, look, d] : series) {
    if (d.n == 0) continue;
    table.rows.push_back({label, fmt::to_string(d.n), figure_text(d.values.front()), or_dash(d.p50), or_dash(d.p95),
                          or_dash(d.p99), figure_text(d.values.back())});
  }
  return table;
}

}  // namespace

Chart distribution_chart(std::string title, std::string_view of, std::string_view unit,
                         std::span<const DistributionSeries> series) {
  Chart chart;
  chart.title = std::move(title);
  chart.table = table_of(of, unit, series);
  std::vector<double> ends;
  for (const DistributionSeries& one : series) {
    if (one.distribution.n == 0) continue;
    ends.push_back(one.distribution.values.front());
    ends.push_back(one.distribution.values.back());
  }
  if (ends.empty()) return chart;
  chart.height = 290;
  const PlotArea area{.left = 40, .top = 26, .right = 466, .bottom = 246};
  const Axis x{Scale::spanning(ends, area.left, area.right), std::string(unit)};
  const Axis y{Scale::from_zero(std::vector<double>{100}, area.bottom, area.top),
               fmt::format("{} within that time, %", of)};
  chart.description = fmt::format("The share of {} that took at most so many {}, a line for each of {} series.", of,
                                  unit, series.size());
  chart.body = draw_axes(area, x, y);
  for (const auto& [label, look, distribution] : series) {
    if (distribution.n == 0) continue;
    // The line has a step at each sample that is drawn, so that it is exact at those samples.
    std::string path = fmt::format("M{:.1f} {:.1f}", x.scale.at(distribution.values.front()), area.bottom);
    for (std::size_t i = 0; i < distribution.values.size(); ++i) {
      path +=
          fmt::format("H{:.1f}V{:.1f}", x.scale.at(distribution.values[i]), y.scale.at(100 * distribution.shares[i]));
    }
    chart.body += fmt::format("<path class=\"{}\" d=\"{}\"><title>{}</title></path>\n", line_class(look), path,
                              chart_text(label, 60));
    if (distribution.p50) chart.body += marker(x.scale.at(*distribution.p50), y.scale.at(50), look, label);
    chart.legend.push_back(line_legend(label, look));
  }
  return chart;
}

}  // namespace secondsource
