#include "report/chart/changes.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/counted.h"
#include "core/enum_format.h"
#include "report/chart/axes.h"

namespace secondsource {
namespace {

constexpr double kChangeRow = 60;  ///< two lines of text, and the interval below them
constexpr double kBand = 44;       ///< from the top of a row to the middle of its interval

/// The look of a verdict: its colour, and a shape for readers who cannot tell the colours apart.
struct VerdictLook {
  std::string_view css_class;
  std::size_t shape = 0;
  std::string word{};
};

VerdictLook look_of(const GateVerdict& verdict) {
  if (!verdict.waived_by.empty()) return {"v1", 2, "waived"};
  if (!verdict.decides) return {"v1", 2, fmt::format("{}, opportunistic", verdict.decision)};
  if (verdict.decision == Decision::kRegressed) return {"v2", 3, "REGRESSED"};
  if (verdict.decision == Decision::kPass) return {"v0", 0, verdict.improved ? "pass, improved" : "pass"};
  return {"v1", 1, std::string(to_string(verdict.decision))};
}

}  // namespace

Chart changes_chart(std::string title, const GateReport& gate) {
  Chart chart;
  chart.title = std::move(title);
  chart.table.columns = {"cell", "metric", "change %", "low %", "high %", "verdict"};
  chart.table.right_aligned = {false, false, true, true, true, false};
  std::vector<double> values = {0, gate.threshold_percent};
  std::vector<const GateVerdict*> drawn;
  for (const GateVerdict& verdict : gate.verdicts) {
    if (!verdict.change_percent || !verdict.low_percent || !verdict.high_percent) continue;
    drawn.push_back(&verdict);
    values.insert(values.end(), {*verdict.low_percent, *verdict.high_percent});
  }
  if (drawn.empty()) return chart;
  const PlotArea area{.left = 12, .top = 4, .right = 466, .bottom = 8 + kChangeRow * static_cast<double>(drawn.size())};
  const Axis x{Scale::around(values, area.left, area.right), "change in %, more is worse"};
  chart.height = area.bottom + 44;
  // The vertical lines are drawn in the rows' bands alone, so that none goes through a label.
  chart.body = draw_x_axis({.left = area.left, .top = area.bottom, .right = area.right, .bottom = area.bottom}, x);
  const auto vertical = [&](std::string_view css_class, double value, double middle) {
    return fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}v18\"/>\n", css_class, x.scale.at(value), middle - 9);
  };
  double y = area.top;
  for (const GateVerdict* verdict : drawn) {
    const double middle = y + kBand;
    for (const double tick : x.scale.ticks()) chart.body += vertical("grid", tick, middle);
    chart.body += vertical("axis", 0, middle) + vertical("mark d1", gate.threshold_percent, middle);
    const VerdictLook look = look_of(*verdict);
    const std::string figure = fmt::format("{:+.1f} % ({:+.1f} to {:+.1f})", *verdict->change_percent,
                                           *verdict->low_percent, *verdict->high_percent);
    const double width = area.right - area.left;
    chart.body += fmt::format(
        "<text x=\"{:g}\" y=\"{:.1f}\">{}</text>\n<text class=\"{}\" x=\"{:g}\" y=\"{:.1f}\">{}: {}</text>\n",
        area.left, y + 13, chart_text(verdict->cell.id() + " " + verdict->metric, characters_in(width)), look.css_class,
        area.left, y + 30, escape_markup(look.word), figure);
    chart.body += fmt::format("<path class=\"line {}\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", look.css_class,
                              x.scale.at(*verdict->low_percent), middle, x.scale.at(*verdict->high_percent));
    chart.body += marker(x.scale.at(*verdict->change_percent), middle, look.css_class, look.shape, figure);
    chart.table.rows.push_back({verdict->cell.id(), verdict->metric, fmt::format("{:+.1f}", *verdict->change_percent),
                                fmt::format("{:+.1f}", *verdict->low_percent),
                                fmt::format("{:+.1f}", *verdict->high_percent), look.word});
    const bool is_known = std::any_of(chart.legend.begin(), chart.legend.end(),
                                      [&](const LegendEntry& entry) { return entry.label == look.word; });
    if (!is_known) chart.legend.push_back({look.word, marker(13, 6, look.css_class, look.shape, "")});
    y += kChangeRow;
  }
  chart.legend.push_back({"threshold", "<path class=\"mark d1\" d=\"M13 0V12\"/>"});
  chart.description =
      fmt::format("{}; the threshold is {:g} %.",
                  counted(drawn.size(), "change with its 95 % interval", "changes with their 95 % intervals"),
                  gate.threshold_percent);
  return chart;
}

}  // namespace secondsource
