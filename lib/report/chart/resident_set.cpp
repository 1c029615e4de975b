#include "report/chart/resident_set.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/counted.h"
#include "core/units.h"
#include "core/utf8.h"
#include "report/chart/axes.h"

namespace secondsource {
namespace {

constexpr double kRowHeight = 22;
constexpr std::size_t kTableStays = 200;

std::string size_text(const std::optional<std::int64_t>& bytes) {
  return bytes ? format_bytes(*bytes) : "-";
}

}  // namespace

Chart resident_set_chart(std::string title, const ResidentCourse& course) {
  Chart chart;
  chart.title = std::move(title);
  chart.table.columns = {"model", "resident from ms", "to ms", "load ms", "all resident, afterwards"};
  chart.table.right_aligned = {false, true, true, true, true};
  if (course.stays.empty() || !(course.end_ms > 0)) return chart;
  const PlotArea area{
      .left = 110, .top = 8, .right = 466, .bottom = 12 + kRowHeight * static_cast<double>(course.models.size())};
  const Axis x{Scale::between(0, course.end_ms, area.left, area.right), "ms from the first request of the mix"};
  chart.height = area.bottom + 44;
  chart.body = draw_x_axis(area, x);
  std::size_t n_loads = 0;
  for (std::size_t model = 0; model < course.models.size(); ++model) {
    const double y = area.top + 4 + kRowHeight * static_cast<double>(model);
    chart.body +=
        fmt::format("<text class=\"quiet\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", area.left - 6,
                    y + kRowHeight * 0.6, chart_text(course.models[model], characters_in(area.left - 12)));
    for (const ResidentStay& stay : course.stays) {
      if (stay.model != model) continue;
      const auto bar = [&](double from_ms, double to_ms, const char* css_class) {
        const double width = std::max(0.6, x.scale.at(to_ms) - x.scale.at(from_ms));
        return fmt::format("<rect class=\"fill {}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>",
                           css_class, x.scale.at(from_ms), y, width, kRowHeight * 0.7);
      };
      const double loaded_ms = std::min(stay.to_ms, stay.from_ms + stay.load_ms.value_or(0));
      chart.body += fmt::format(
          "<g><title>{}: resident from {} to {} ms{}</title>", escape_markup(shown(course.models[model])),
          figure_text(stay.from_ms), figure_text(stay.to_ms),
          stay.load_ms ? fmt::format(", loaded in {} ms", figure_text(*stay.load_ms)) : ", from the beginning");
      if (stay.load_ms) chart.body += bar(stay.from_ms, loaded_ms, "k1");
      chart.body += bar(loaded_ms, stay.to_ms, "k0") + "</g>\n";
      n_loads += stay.load_ms ? 1 : 0;
    }
  }
  for (const ResidentStay& stay : std::span(course.stays).first(std::min(course.stays.size(), kTableStays))) {
    chart.table.rows.push_back({course.models[stay.model], figure_text(stay.from_ms), figure_text(stay.to_ms),
                                stay.load_ms ? figure_text(*stay.load_ms) : "-", size_text(stay.resident_bytes)});
  }
  if (course.stays.size() > kTableStays) {
    chart.table.rows.push_back({fmt::format("{} more", course.stays.size() - kTableStays), "-", "-", "-", "-"});
  }
  chart.legend = {box_legend("loading", "k1"), box_legend("resident", "k0")};
  chart.description =
      fmt::format("A row for each of {}, filled while it is resident, over {} ms; {}.",
                  counted(course.models.size(), "model"), figure_text(course.end_ms), counted(n_loads, "load"));
  return chart;
}

}  // namespace secondsource
