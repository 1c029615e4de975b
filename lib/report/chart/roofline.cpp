#include "report/chart/roofline.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/counted.h"
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
  std::vector<Roof> roofs = roofs_of(limits);
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
  /// A roof that rises at `bytes_per_s` up to `flops_per_s` and stays there.
  const auto roof_path = [&](double bytes_per_s, double flops_per_s, bool is_level) {
    const double gb_per_s = bytes_per_s / 1e9;
    const double from = std::max(x_low, y_low / gb_per_s);
    const double corner = std::min(flops_per_s / bytes_per_s, x_high);
    std::string path = fmt::format("M{:.1f} {:.1f}L{:.1f} {:.1f}", x.scale.at(from), y.scale.at(from * gb_per_s),
                                   x.scale.at(corner), y.scale.at(corner * gb_per_s));
    if (is_level) path += fmt::format("L{:.1f} {:.1f}", x.scale.at(x_high), y.scale.at(flops_per_s / 1e9));
    return path;
  };
  for (const ReadLimit& read : limits.reads) {
    const bool is_memory = &read == &memory;
    chart.body += fmt::format("<path class=\"roof {}\" d=\"{}\"><title>reading {}: {} GB/s</title></path>\n",
                              is_memory ? "whisker" : "axis d2", roof_path(read.bytes_per_s, top, !is_memory),
                              format_bytes(read.buffer_bytes), figure_text(read.bytes_per_s / 1e9));
  }
  std::sort(roofs.begin(), roofs.end(), [](const Roof& a, const Roof& b) { return a.flops_per_s > b.flops_per_s; });
  constexpr double kLine = 15;
  double label_y = -kLine;
  for (const Roof& roof : roofs) {
    const double height = y.scale.at(roof.flops_per_s / 1e9);
    label_y = std::max(height - 5, label_y + kLine);  // labels never overlap
    chart.body += fmt::format(
        "<path class=\"roof whisker\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/><text class=\"label\" x=\"{:.1f}\" "
        "y=\"{:.1f}\" text-anchor=\"end\">{} {} GFLOP/s</text>\n",
        x.scale.at(roof.flops_per_s / memory.bytes_per_s), height, x.scale.at(x_high), height, area.right - 2, label_y,
        roof.label, figure_text(roof.flops_per_s / 1e9));
  }
  // A speed that was measured is possible, so the roof is raised to the highest point.
  double reached_flops = top;
  double reached_bytes = 0;
  for (const ReadLimit& read : limits.reads) reached_bytes = std::max(reached_bytes, read.bytes_per_s);
  const double measured_bytes = reached_bytes;
  for (const RooflinePoint& point : points) {
    reached_flops = std::max(reached_flops, point.flops_per_s);
    reached_bytes = std::max(reached_bytes, point.flops_per_s / point.flops_per_byte);
  }
  if (reached_flops > top || reached_bytes > measured_bytes) {
    chart.body +=
        fmt::format("<path class=\"roof mark d1\" d=\"{}\"><title>reached: {} GB/s, {} GFLOP/s</title></path>\n",
                    roof_path(reached_bytes, reached_flops, true), figure_text(reached_bytes / 1e9),
                    figure_text(reached_flops / 1e9));
    chart.legend.push_back({"reached beyond the measured limits", "<path class=\"mark d1\" d=\"M0 6H26\"/>"});
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
  chart.description =
      fmt::format("{} under the machine's measured limits: memory gives {} GB/s, the arithmetic {} GFLOP/s at most.",
                  counted(points.size(), "kind of step", "kinds of steps"), figure_text(memory.bytes_per_s / 1e9),
                  figure_text(top / 1e9));
  return chart;
}

}  // namespace secondsource
