#include "report/chart/roofline.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/units.h"
#include "report/chart/axes.h"

namespace secondsource {
namespace {

struct Roof {
  std::string label;
  double flops_per_s = 0;
};

std::vector<Roof> roofs_of(const MachineLimits& limits) {
  std::vector<Roof> roofs = {{"f32", limits.f32_flops}};
  if (limits.bf16_flops) roofs.push_back({"bf16", *limits.bf16_flops});
  if (limits.int8_ops) roofs.push_back({"int8", *limits.int8_ops});
  std::erase_if(roofs, [](const Roof& roof) { return !(roof.flops_per_s > 0); });
  return roofs;
}

TextTable table_of(std::span<const RooflinePoint> points) {
  TextTable table;
  table.columns = {"series", "steps", "operations per byte", "GFLOP/s"};
  table.right_aligned = {false, false, true, true};
  for (const RooflinePoint& point : points) {
    table.rows.push_back(
        {point.label, point.steps, figure_text(point.flops_per_byte), figure_text(point.flops_per_s / 1e9)});
  }
  return table;
}

}  // namespace

Chart roofline_chart(std::string title, const MachineLimits& limits, std::span<const RooflinePoint> points) {
  Chart chart;
  chart.title = std::move(title);
  chart.table = table_of(points);
  const std::vector<Roof> roofs = roofs_of(limits);
  if (points.empty() || limits.reads.empty() || roofs.empty()) return chart;
  chart.height = 320;
  const PlotArea area{.left = 52, .top = 26, .right = 466, .bottom = 274};
  // The largest buffer is read from memory, smaller ones from a cache.
  const ReadLimit& memory = limits.reads.back();
  const double top = std::max_element(roofs.begin(), roofs.end(), [](const Roof& a, const Roof& b) {
                       return a.flops_per_s < b.flops_per_s;
                     })->flops_per_s;
  std::vector<double> xs = {top / memory.bytes_per_s * 4, 1.0 / 4};
  std::vector<double> ys = {top / 1e9, memory.bytes_per_s / 4e9};
  for (const RooflinePoint& point : points) {
    xs.push_back(point.flops_per_byte);
    ys.push_back(point.flops_per_s / 1e9);
  }
  const Axis x{Scale::spanning(xs, area.left, area.right), "operations per byte that has to be read"};
  const Axis y{Scale::spanning(ys, area.bottom, area.top), "GFLOP/s"};
  const double x_low = *std::min_element(xs.begin(), xs.end());
  const double x_high = *std::max_element(xs.begin(), xs.end());
  const double y_low = *std::min_element(ys.begin(), ys.end());
  chart.body = draw_axes(area, x, y);
  for (const ReadLimit& read : limits.reads) {
    const double gb_per_s = read.bytes_per_s / 1e9;
    const double from = std::max(x_low, y_low / gb_per_s);
    const double to = top / read.bytes_per_s;
    const bool is_memory = &read == &memory;
    chart.body +=
        fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"><title>reading {}: {} GB/s</title></path>\n",
                    is_memory ? "whisker" : "axis d2", x.scale.at(from), y.scale.at(from * gb_per_s), x.scale.at(to),
                    y.scale.at(top / 1e9), format_bytes(read.buffer_bytes), figure_text(gb_per_s));
  }
  for (const Roof& roof : roofs) {
    const double height = y.scale.at(roof.flops_per_s / 1e9);
    chart.body += fmt::format(
        "<path class=\"whisker\" d=\"M{:.1f} {:.1f}H{:.1f}\"/><text class=\"quiet\" x=\"{:.1f}\" y=\"{:.1f}\" "
        "text-anchor=\"end\">{} {} GFLOP/s</text>\n",
        x.scale.at(roof.flops_per_s / memory.bytes_per_s), height, x.scale.at(x_high), area.right - 2, height - 5,
        roof.label, figure_text(roof.flops_per_s / 1e9));
  }
  for (const RooflinePoint& point : points) {
    chart.body += marker(x.scale.at(point.flops_per_byte), y.scale.at(point.flops_per_s / 1e9), point.look,
                         fmt::format("{}, {}: {} operations per byte, {} GFLOP/s", point.label, point.steps,
                                     figure_text(point.flops_per_byte), figure_text(point.flops_per_s / 1e9)));
  }
  for (const RooflinePoint& point : points) {
    const bool is_known = std::any_of(chart.legend.begin(), chart.legend.end(),
                                      [&](const LegendEntry& entry) { return entry.label == point.label; });
    if (!is_known) chart.legend.push_back({point.label, marker(13, 6, point.look, "")});
  }
  chart.description = fmt::format(
      "{} kinds of steps under the machine's measured limits: memory gives {} GB/s, the arithmetic {} GFLOP/s at most.",
      points.size(), figure_text(memory.bytes_per_s / 1e9), figure_text(top / 1e9));
  return chart;
}

}  // namespace secondsource
