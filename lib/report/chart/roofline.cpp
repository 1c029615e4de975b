#include "report/chart/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

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
  if (limits.int4_ops) roofs.push_back({"int4 by int8", *limits.int4_ops});
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

constexpr PlotArea kRooflineArea{.left = 52, .top = 26, .right = 466, .bottom = 274};

/// Draws points under the roofs of a machine that has read rates and peaks.
class RooflineDrawing {
 public:
  RooflineDrawing(const MachineLimits& limits, std::vector<Roof> roofs, std::span<const RooflinePoint> points)
      : limits_(limits), roofs_(std::move(roofs)), points_(points) {
    std::sort(roofs_.begin(), roofs_.end(), [](const Roof& a, const Roof& b) { return a.flops_per_s > b.flops_per_s; });
    xs_ = {peak() / memory().bytes_per_s * 4, 1.0 / 4};
    ys_ = {peak() / 1e9, memory().bytes_per_s / 4e9};
    for (const RooflinePoint& point : points_) {
      xs_.push_back(point.flops_per_byte);
      ys_.push_back(point.flops_per_s / 1e9);
    }
    x_.scale = Scale::spanning(xs_, kRooflineArea.left, kRooflineArea.right);
    y_.scale = Scale::spanning(ys_, kRooflineArea.bottom, kRooflineArea.top);
  }

  void draw(Chart& chart) const {
    chart.body = draw_axes(kRooflineArea, x_, y_);
    draw_read_rates(chart);
    draw_peaks(chart);
    draw_reached(chart);
    draw_points(chart);
    chart.description =
        fmt::format("{} under the machine's measured limits: memory gives {} GB/s, the arithmetic {} GFLOP/s at most.",
                    counted(points_.size(), "kind of step", "kinds of steps"), figure_text(memory().bytes_per_s / 1e9),
                    figure_text(peak() / 1e9));
  }

 private:
  /// The largest buffer is read from memory, smaller ones from a cache.
  [[nodiscard]] const ReadLimit& memory() const { return limits_.reads.back(); }
  [[nodiscard]] double peak() const { return roofs_.front().flops_per_s; }
  [[nodiscard]] double highest_x() const { return *std::max_element(xs_.begin(), xs_.end()); }

  /// A roof that rises at `bytes_per_s` up to `flops_per_s` and, if it is level there, stays.
  [[nodiscard]] std::string roof_path(double bytes_per_s, double flops_per_s, bool is_level) const {
    const double gb_per_s = bytes_per_s / 1e9;
    const double lowest_x = *std::min_element(xs_.begin(), xs_.end());
    const double lowest_y = *std::min_element(ys_.begin(), ys_.end());
    const double from = std::max(lowest_x, lowest_y / gb_per_s);
    const double corner = std::min(flops_per_s / bytes_per_s, highest_x());
    std::string path = fmt::format("M{:.1f} {:.1f}L{:.1f} {:.1f}", x_.scale.at(from), y_.scale.at(from * gb_per_s),
                                   x_.scale.at(corner), y_.scale.at(corner * gb_per_s));
    if (is_level) path += fmt::format("L{:.1f} {:.1f}", x_.scale.at(highest_x()), y_.scale.at(flops_per_s / 1e9));
    return path;
  }

  void draw_read_rates(Chart& chart) const {
    for (const ReadLimit& read : limits_.reads) {
      const bool is_memory = &read == &memory();
      chart.body += fmt::format("<path class=\"roof {}\" d=\"{}\"><title>reading {}: {} GB/s</title></path>\n",
                                is_memory ? "whisker" : "axis d2", roof_path(read.bytes_per_s, peak(), !is_memory),
                                format_bytes(read.buffer_bytes), figure_text(read.bytes_per_s / 1e9));
    }
  }

  void draw_peaks(Chart& chart) const {
    constexpr double kLine = 15;
    double label_y = -kLine;
    for (const Roof& roof : roofs_) {
      const double height = y_.scale.at(roof.flops_per_s / 1e9);
      label_y = std::max(height - 5, label_y + kLine);  // labels never overlap
      chart.body += fmt::format(
          "<path class=\"roof whisker\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/><text class=\"label\" x=\"{:.1f}\" "
          "y=\"{:.1f}\" text-anchor=\"end\">{} {} GFLOP/s</text>\n",
          x_.scale.at(roof.flops_per_s / memory().bytes_per_s), height, x_.scale.at(highest_x()), height,
          kRooflineArea.right - 2, label_y, roof.label, figure_text(roof.flops_per_s / 1e9));
    }
  }

  /// A speed that was measured is possible, so the roof is raised to the highest point.
  void draw_reached(Chart& chart) const {
    double measured_bytes = 0;
    for (const ReadLimit& read : limits_.reads) measured_bytes = std::max(measured_bytes, read.bytes_per_s);
    double reached_bytes = measured_bytes;
    double reached_flops = peak();
    for (const RooflinePoint& point : points_) {
      reached_flops = std::max(reached_flops, point.flops_per_s);
      reached_bytes = std::max(reached_bytes, point.flops_per_s / point.flops_per_byte);
    }
    if (!(reached_flops > peak() || reached_bytes > measured_bytes)) return;
    chart.body +=
        fmt::format("<path class=\"roof mark d1\" d=\"{}\"><title>reached: {} GB/s, {} GFLOP/s</title></path>\n",
                    roof_path(reached_bytes, reached_flops, true), figure_text(reached_bytes / 1e9),
                    figure_text(reached_flops / 1e9));
    chart.legend.push_back({"reached beyond the measured limits", "<path class=\"mark d1\" d=\"M0 6H26\"/>"});
  }

  void draw_points(Chart& chart) const {
    for (const RooflinePoint& point : points_) {
      chart.body += marker(x_.scale.at(point.flops_per_byte), y_.scale.at(point.flops_per_s / 1e9), point.look,
                           fmt::format("{}, {}: {} operations per byte, {} GFLOP/s", point.label, point.steps,
                                       figure_text(point.flops_per_byte), figure_text(point.flops_per_s / 1e9)));
    }
    for (const RooflinePoint& point : points_) {
      const bool is_known = std::any_of(chart.legend.begin(), chart.legend.end(),
                                        [&](const LegendEntry& entry) { return entry.label == point.label; });
      if (!is_known) chart.legend.push_back({point.label, marker(13, 6, point.look, "")});
    }
  }

  const MachineLimits& limits_;
  std::vector<Roof> roofs_;  ///< the highest first
  std::span<const RooflinePoint> points_;
  std::vector<double> xs_, ys_;  ///< what the axes span
  Axis x_{Scale::between(0, 1, 0, 1), "operations per byte that has to be read"};
  Axis y_{Scale::between(0, 1, 0, 1), "GFLOP/s"};
};

}  // namespace

Chart roofline_chart(std::string title, const MachineLimits& limits, std::span<const RooflinePoint> points) {
  Chart chart;
  chart.title = std::move(title);
  chart.table = table_of(points);
  std::vector<Roof> roofs = roofs_of(limits);
  if (points.empty() || limits.reads.empty() || roofs.empty()) return chart;
  chart.height = 320;
  RooflineDrawing(limits, std::move(roofs), points).draw(chart);
  return chart;
}

}  // namespace secondsource
