#include "report/chart/trend.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/counted.h"
#include "core/utf8.h"
#include "report/chart/axes.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

constexpr std::size_t kMostMarkers = 150;
constexpr std::size_t kTrendColumns = 205;  ///< each two pixels wide
constexpr std::size_t kTableRows = 200;     ///< of the newest runs

struct Level {
  std::size_t begin = 0;
  std::size_t end = 0;  ///< one past the last index
  double middle = 0;
};

std::vector<Level> levels_of(std::span<const TrendPoint> points, std::span<const TrendChange> changes) {
  std::vector<std::size_t> bounds = {0};
  for (const TrendChange& change : changes) bounds.push_back(change.index);
  bounds.push_back(points.size());
  std::vector<Level> levels;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    std::vector<double> values;
    for (std::size_t j = bounds[i]; j < bounds[i + 1]; ++j) values.push_back(points[j].value);
    if (const auto middle = median(values)) levels.push_back({bounds[i], bounds[i + 1], *middle});
  }
  return levels;
}

TextTable table_of(std::string_view unit, std::span<const TrendPoint> points, std::span<const TrendChange> changes) {
  TextTable table;
  table.columns = {"run", std::string(unit), "note"};
  table.right_aligned = {false, true, false};
  const std::size_t first = points.size() > kTableRows ? points.size() - kTableRows : 0;
  for (std::size_t i = points.size(); i-- > first;) {
    std::string note = points[i].is_pinned ? "pinned" : "";
    for (const TrendChange& change : changes) {
      if (change.index == i)
        note += fmt::format("{}new level, {:+.1f} %", note.empty() ? "" : ", ", change.change_percent);
    }
    table.rows.push_back({points[i].label, figure_text(points[i].value), note});
  }
  if (first > 0) table.rows.push_back({counted(first, "older run"), "-", "not listed"});
  return table;
}

/// Draws one point per run, joined by a line.
std::string draw_points(std::span<const TrendPoint> points, const Scale& x, const Scale& y) {
  std::string path;
  std::string markers;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double at_x = x.at(static_cast<double>(i));
    const double at_y = y.at(points[i].value);
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", at_x, at_y);
    markers +=
        fmt::format("<circle class=\"point c0\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{}: {}</title></circle>\n",
                    at_x, at_y, points.size() > kMostMarkers / 2 ? 1.6 : 2.6, escape_markup(shown(points[i].label)),
                    figure_text(points[i].value));
  }
  return fmt::format("<path class=\"line c0\" style=\"stroke-width:.8;opacity:.6\" d=\"{}\"/>\n", path) + markers;
}

/// Draws the range and the median of the runs in each column.
std::string draw_columns(std::span<const TrendPoint> points, const Scale& x, const Scale& y) {
  std::string upper, lower, middle;
  for (std::size_t column = 0; column < kTrendColumns; ++column) {
    const std::size_t begin = points.size() * column / kTrendColumns;
    const std::size_t end = points.size() * (column + 1) / kTrendColumns;
    std::vector<double> values;
    for (std::size_t i = begin; i < end; ++i) values.push_back(points[i].value);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const double at = x.at(0.5 * static_cast<double>(begin + end - 1));
    upper += fmt::format("{}{:.1f} {:.1f}", upper.empty() ? "M" : "L", at, y.at(*high));
    lower.insert(0, fmt::format("L{:.1f} {:.1f}", at, y.at(*low)));
    middle += fmt::format("{}{:.1f} {:.1f}", middle.empty() ? "M" : "L", at, y.at(*median(values)));
  }
  return fmt::format(
      "<path class=\"band c0\" d=\"{}{}Z\"/>\n<path class=\"line c0\" style=\"stroke-width:1\" d=\"{}\"/>\n", upper,
      lower, middle);
}

std::string describe(std::span<const TrendPoint> points, std::span<const TrendChange> changes,
                     const std::vector<Level>& levels, std::string_view unit) {
  std::string text = fmt::format("{}; the level is now {} ({}).", counted(points.size(), "run"),
                                 figure_text(levels.back().middle), unit);
  for (const TrendChange& change : changes) {
    text += fmt::format(" {:+.1f} % from {} on.", change.change_percent, points[change.index].label);
  }
  return changes.empty() ? text + " No change of level was found." : text;
}

}  // namespace

Chart trend_chart(std::string title, std::string_view unit, std::span<const TrendPoint> points,
                  std::span<const TrendChange> changes) {
  Chart chart;
  chart.title = std::move(title);
  chart.table = table_of(unit, points, changes);
  if (points.empty()) return chart;
  chart.height = 250;
  const PlotArea area{.left = 52, .top = 28, .right = 466, .bottom = 206};
  std::vector<double> values, places;
  for (std::size_t i = 0; i < points.size(); ++i) {
    values.push_back(points[i].value);
    places.push_back(static_cast<double>(i));
  }
  const Axis y{Scale::around(values, area.bottom, area.top), std::string(unit)};
  const Scale x = Scale::between(0, std::max(1.0, places.back()), area.left + 4, area.right - 4);
  chart.body = draw_y_axis(area, y);
  const auto label_at = [&](std::size_t index, const char* anchor, double at) {
    return fmt::format("<text class=\"quiet\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", at,
                       area.bottom + 18, anchor,
                       chart_text(points[index].label.substr(0, points[index].label.find(',')), 20));
  };
  chart.body += label_at(0, "start", area.left);
  if (points.size() > 1) chart.body += label_at(points.size() - 1, "end", area.right);
  chart.body += points.size() > kMostMarkers ? draw_columns(points, x, y.scale) : draw_points(points, x, y.scale);

  const std::vector<Level> levels = levels_of(points, changes);
  for (const Level& level : levels) {
    chart.body +=
        fmt::format("<path class=\"whisker\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", x.at(static_cast<double>(level.begin)),
                    y.scale.at(level.middle), x.at(static_cast<double>(level.end - 1)));
  }
  std::vector<double> anchor;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!points[i].is_pinned) continue;
    anchor.push_back(points[i].value);
    chart.body +=
        marker(x.at(static_cast<double>(i)), y.scale.at(points[i].value), {.colour = 1, .shape = 3}, "pinned");
  }
  if (const auto middle = median(anchor)) {
    chart.body += fmt::format("<path class=\"line c1 d1\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", area.left,
                              y.scale.at(*middle), area.right);
    chart.legend.push_back(line_legend("pinned anchor", {.colour = 1, .shape = 3}));
  }
  double label_end = 0;
  for (const TrendChange& change : changes) {
    const double at = x.at(static_cast<double>(change.index) - 0.5);
    const std::string text = fmt::format("{:+.1f} %{}", change.change_percent, change.is_worse ? ", worse" : "");
    const double width = 7.5 * static_cast<double>(text.size());
    const double left = std::clamp(at - width / 2, 0.0, kChartWidth - width);
    chart.body += fmt::format("<path class=\"{} d1\" d=\"M{:.1f} {:.1f}V{:.1f}\"><title>{} from {} on</title></path>\n",
                              change.is_worse ? "mark" : "axis", at, area.top, area.bottom, text,
                              escape_markup(shown(points[change.index].label)));
    if (left < label_end + 4) continue;
    label_end = left + width;
    chart.body += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
                              change.is_worse ? "mark" : "quiet", left, area.bottom + 36, text);
  }
  chart.legend.push_back({"level", "<path class=\"whisker\" d=\"M0 6H26\"/>"});
  chart.description = describe(points, changes, levels, unit);
  return chart;
}

}  // namespace secondsource
