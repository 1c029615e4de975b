#include "report/chart/bars.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/counted.h"
#include "core/utf8.h"
#include "report/chart/axes.h"

namespace secondsource {
namespace {

constexpr double kRow = 38;  ///< height of a line of text with the bar below it, so that labels need no column
constexpr double kBarHeight = 13;

/// The plot area for a number of rows, and the axis below them.
struct BarRows {
  PlotArea area;
  Axis x;
};

BarRows rows_for(std::size_t n, std::span<const double> values, std::string_view unit) {
  const PlotArea area{.left = 1, .top = 4, .right = 466, .bottom = 8 + kRow * static_cast<double>(n)};
  return {area, {Scale::from_zero(values, area.left, area.right), std::string(unit)}};
}

/// Writes the label at the left and the figure at the right, above the bar.
std::string row_texts(const BarRows& rows, double y, std::string_view label, const std::string& figure) {
  return fmt::format(
      "<text x=\"{:g}\" y=\"{:.1f}\">{}</text><text x=\"{:g}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
      rows.area.left, y + 14, chart_text(label, characters_in(rows.area.right - rows.area.left - text_width(figure))),
      rows.area.right, y + 14, escape_markup(figure));
}

std::string rectangle(const BarRows& rows, double from, double to, double y, std::string_view css_class,
                      std::string_view tooltip) {
  const double left = rows.x.scale.at(from);
  return fmt::format(
      "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:g}\"><title>{}</title></rect>\n",
      css_class, left, y, rows.x.scale.at(to) - left, kBarHeight, escape_markup(shown(tooltip)));
}

}  // namespace

Chart bar_chart(std::string title, std::string_view unit, std::span<const Bar> bars) {
  Chart chart;
  chart.title = std::move(title);
  chart.table.columns = {"series", std::string(unit), "low", "high"};
  chart.table.right_aligned = {false, true, true, true};
  std::vector<double> values;
  for (const Bar& bar : bars) values.push_back(std::max(bar.value, bar.high.value_or(0)));
  if (bars.empty()) return chart;
  const BarRows rows = rows_for(bars.size(), values, unit);
  chart.height = rows.area.bottom + 44;
  chart.body = draw_x_axis(rows.area, rows.x);
  double y = rows.area.top;
  for (const Bar& bar : bars) {
    const std::string figure = figure_text(bar.value);
    const std::string interval =
        bar.low && bar.high ? fmt::format(" ({} to {})", figure_text(*bar.low), figure_text(*bar.high)) : "";
    chart.body += row_texts(rows, y, bar.label, figure + interval);
    const double top = y + 19;
    chart.body += rectangle(rows, 0, bar.value, top, fmt::format("fill c{}", bar.look.colour % kColours),
                            fmt::format("{}: {}{}", bar.label, figure, interval));
    if (bar.low && bar.high) {
      const double middle = top + kBarHeight / 2;
      chart.body +=
          fmt::format("<path class=\"whisker\" d=\"M{:.1f} {:.1f}H{:.1f}M{:.1f} {:.1f}v8M{:.1f} {:.1f}v8\"/>\n",
                      rows.x.scale.at(*bar.low), middle, rows.x.scale.at(*bar.high), rows.x.scale.at(*bar.low),
                      middle - 4, rows.x.scale.at(*bar.high), middle - 4);
    }
    chart.table.rows.push_back(
        {bar.label, figure, bar.low ? figure_text(*bar.low) : "-", bar.high ? figure_text(*bar.high) : "-"});
    y += kRow;
  }
  const auto [least, most] =
      std::minmax_element(bars.begin(), bars.end(), [](const Bar& a, const Bar& b) { return a.value < b.value; });
  chart.description =
      fmt::format("{}, {}. The smallest is {} with {}, the largest {} with {}.", counted(bars.size(), "bar"), unit,
                  least->label, figure_text(least->value), most->label, figure_text(most->value));
  return chart;
}

Chart stack_chart(std::string title, std::string_view unit, std::span<const std::string> part_names,
                  std::string_view total_name, std::span<const StackedBar> bars) {
  Chart chart;
  chart.title = std::move(title);
  chart.table.columns = {"series"};
  for (const std::string& name : part_names) chart.table.columns.push_back(fmt::format("{} {}", name, unit));
  chart.table.columns.push_back(fmt::format("{} {}", total_name, unit));
  chart.table.right_aligned.assign(chart.table.columns.size(), true);
  chart.table.right_aligned.front() = false;
  if (bars.empty()) return chart;
  std::vector<double> totals;
  for (const StackedBar& bar : bars) {
    totals.push_back(std::max(bar.total, std::accumulate(bar.parts.begin(), bar.parts.end(), 0.0)));
  }
  const BarRows rows = rows_for(bars.size(), totals, unit);
  chart.height = rows.area.bottom + 44;
  chart.body = draw_x_axis(rows.area, rows.x);
  double y = rows.area.top;
  for (const StackedBar& bar : bars) {
    chart.body += row_texts(rows, y, bar.label, figure_text(bar.total));
    std::vector<std::string> row = {bar.label};
    double from = 0;
    for (std::size_t i = 0; i < bar.parts.size(); ++i) {
      chart.body += rectangle(rows, from, from + bar.parts[i], y + 19, fmt::format("box k{}", i),
                              fmt::format("{}: {} {} {}", bar.label, part_names[i], figure_text(bar.parts[i]), unit));
      from += bar.parts[i];
      row.push_back(figure_text(bar.parts[i]));
    }
    if (bar.total > from * 1.001) {
      chart.body +=
          fmt::format("<path class=\"whisker\" d=\"M{:.1f} {:.1f}v17\"/>\n", rows.x.scale.at(bar.total), y + 17);
    }
    row.push_back(figure_text(bar.total));
    chart.table.rows.push_back(std::move(row));
    y += kRow;
  }
  for (std::size_t i = 0; i < part_names.size(); ++i) {
    chart.legend.push_back(box_legend(part_names[i], fmt::format("k{}", i)));
  }
  chart.description = fmt::format("{} of stacked parts, in {}. The largest {} is {}.", counted(bars.size(), "bar"),
                                  unit, total_name, figure_text(*std::max_element(totals.begin(), totals.end())));
  return chart;
}

}  // namespace secondsource
