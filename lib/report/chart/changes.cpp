#include "report/chart/changes.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/chart/axes.h"

namespace secondsource {

Chart changes_chart(std::string title, const GateReport& gate) {
  constexpr double kRow = 36;
  Chart chart;
  chart.title = std::move(title);
  chart.table.columns = {"cell", "metric", "change %", "low %", "high %"};
  chart.table.right_aligned = {false, false, true, true, true};
  std::vector<double> values = {0, gate.threshold_percent};
  std::vector<const GateVerdict*> drawn;
  for (const GateVerdict& verdict : gate.verdicts) {
    if (!verdict.change_percent || !verdict.low_percent || !verdict.high_percent) continue;
    drawn.push_back(&verdict);
    values.insert(values.end(), {*verdict.low_percent, *verdict.high_percent});
  }
  if (drawn.empty()) return chart;
  const PlotArea area{.left = 12, .top = 4, .right = 466, .bottom = 8 + kRow * static_cast<double>(drawn.size())};
  const Axis x{Scale::around(values, area.left, area.right), "change in %, more is worse"};
  chart.height = area.bottom + 44;
  chart.body = draw_x_axis(area, x);
  chart.body +=
      fmt::format("<path class=\"axis\" d=\"M{0:.1f} {1:.1f}V{2:.1f}\"/>\n", x.scale.at(0), area.top, area.bottom);
  chart.body += fmt::format("<path class=\"mark d1\" d=\"M{0:.1f} {1:.1f}V{2:.1f}\"><title>threshold</title></path>\n",
                            x.scale.at(gate.threshold_percent), area.top, area.bottom);
  double y = area.top;
  for (const GateVerdict* verdict : drawn) {
    const std::string figure = fmt::format("{:+.1f} % ({:+.1f} to {:+.1f})", *verdict->change_percent,
                                           *verdict->low_percent, *verdict->high_percent);
    chart.body += fmt::format(
        "<text x=\"{:g}\" y=\"{:.1f}\">{}</text><text x=\"{:g}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
        area.left, y + 13, chart_text(verdict->cell.id() + " " + verdict->metric, 38), area.right, y + 13, figure);
    const double middle = y + 24;
    chart.body += fmt::format("<path class=\"whisker\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>",
                              x.scale.at(*verdict->low_percent), middle, x.scale.at(*verdict->high_percent));
    const std::size_t shape = verdict->metric == "cost" ? 0 : 1;
    chart.body += marker(x.scale.at(*verdict->change_percent), middle, {.colour = 0, .shape = shape}, figure);
    chart.table.rows.push_back({verdict->cell.id(), verdict->metric, fmt::format("{:+.1f}", *verdict->change_percent),
                                fmt::format("{:+.1f}", *verdict->low_percent),
                                fmt::format("{:+.1f}", *verdict->high_percent)});
    y += kRow;
  }
  chart.legend.push_back({"threshold", "<path class=\"mark d1\" d=\"M13 0V12\"/>"});
  chart.description = fmt::format("{} changes with their 95 % intervals; the threshold is {:g} %.", drawn.size(),
                                  gate.threshold_percent);
  return chart;
}

}  // namespace secondsource
