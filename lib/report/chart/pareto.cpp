#include "report/chart/pareto.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "report/chart/axes.h"

namespace secondsource {
namespace {

struct Placed {
  const ParetoSeries* series;
  const ParetoPoint* point;
};

/// Returns the points that no other point beats in both, ordered by decreasing speed per user.
std::vector<Placed> front_of(std::vector<Placed> points) {
  std::sort(points.begin(), points.end(), [](const Placed& a, const Placed& b) {
    return std::pair(-a.point->tok_per_s_per_user, -a.point->tok_per_s_per_device) <
           std::pair(-b.point->tok_per_s_per_user, -b.point->tok_per_s_per_device);
  });
  std::vector<Placed> front;
  for (const Placed& placed : points) {
    if (front.empty() || placed.point->tok_per_s_per_device > front.back().point->tok_per_s_per_device) {
      front.push_back(placed);
    }
  }
  return front;
}

/// Labels points where there is room; the others have only a tooltip and a row in the table.
class LabelPlaces {
 public:
  explicit LabelPlaces(const PlotArea& area) : area_(area) {}

  void avoid_point(double x, double y) { taken_.push_back({x - 5, y - 5, x + 5, y + 5}); }

  void avoid_line(double from_x, double from_y, double to_x, double to_y) {
    constexpr double kStep = 4;
    const double length = std::hypot(to_x - from_x, to_y - from_y);
    for (double at = 0; at <= length; at += kStep) {
      const double x = from_x + (to_x - from_x) * at / length;
      const double y = from_y + (to_y - from_y) * at / length;
      taken_.push_back({x - 1, y - 1, x + 1, y + 1});
    }
  }

  std::string label(double x, double y, const std::string& text) {
    const double width = text_width(text.substr(0, kMaxCharacters));
    for (const Label& other : labels_) {
      // The same scenario of two variants lies at about the same place: one label is enough.
      if (other.text == text && std::hypot(other.x - x, other.y - y) < width) return "";
    }
    for (const Box& box : {Box{x + 8, y - 8, x + 8 + width, y + 7}, Box{x - 8 - width, y - 8, x - 8, y + 7},
                           Box{x + 5, y - 21, x + 5 + width, y - 6}, Box{x - 5 - width, y - 21, x - 5, y - 6},
                           Box{x + 5, y + 6, x + 5 + width, y + 21}, Box{x - 5 - width, y + 6, x - 5, y + 21}}) {
      if (box.left < area_.left + 3 || box.right > kChartWidth || box.top < area_.top - 8 || box.bottom > area_.bottom)
        continue;
      if (std::any_of(taken_.begin(), taken_.end(), [&](const Box& other) { return overlap(box, other); })) continue;
      taken_.push_back(box);
      labels_.push_back({x, y, text});
      return fmt::format("<text class=\"label\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", box.left, box.top + 12,
                         chart_text(text, kMaxCharacters));
    }
    return "";
  }

 private:
  static constexpr std::size_t kMaxCharacters = 20;
  struct Box {
    double left, top, right, bottom;
  };
  struct Label {
    double x, y;
    std::string text;
  };
  static bool overlap(const Box& a, const Box& b) {
    return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  }
  const PlotArea& area_;
  std::vector<Box> taken_;
  std::vector<Label> labels_;
};

TextTable table_of(std::span<const ParetoSeries> series, const std::vector<Placed>& front) {
  TextTable table;
  table.columns = {"series", "scenario", "tok/s per user", "tok/s per device", "on the front"};
  table.right_aligned = {false, false, true, true, false};
  for (const ParetoSeries& one : series) {
    for (const ParetoPoint& point : one.points) {
      const bool on_front = std::any_of(front.begin(), front.end(), [&](const Placed& p) { return p.point == &point; });
      table.rows.push_back({one.label, point.scenario, figure_text(point.tok_per_s_per_user),
                            figure_text(point.tok_per_s_per_device), on_front ? "yes" : "no"});
    }
  }
  return table;
}

constexpr PlotArea kParetoArea{.left = 52, .top = 26, .right = 466, .bottom = 274};

/// Draws the series, each with a line through its points, and the front.
class ParetoDrawing {
 public:
  ParetoDrawing(std::span<const ParetoSeries> series, const std::vector<Placed>& all)
      : series_(series),
        x_{Scale::spanning(values_of(all, &ParetoPoint::tok_per_s_per_user), kParetoArea.left, kParetoArea.right),
           "tokens/s for each user"},
        y_{Scale::spanning(values_of(all, &ParetoPoint::tok_per_s_per_device), kParetoArea.bottom, kParetoArea.top),
           "output tokens/s per device"} {
    for (const ParetoSeries& one : series_) curves_.push_back(curve_of(one));
    for (const Placed& placed : all) labels_.avoid_point(x_of(*placed.point), y_of(*placed.point));
    for (const std::vector<ParetoPoint>& curve : curves_) {
      for (std::size_t i = 1; i < curve.size(); ++i)
        labels_.avoid_line(x_of(curve[i - 1]), y_of(curve[i - 1]), x_of(curve[i]), y_of(curve[i]));
    }
  }

  void draw(const std::vector<Placed>& front, Chart& chart) {
    chart.body = draw_axes(kParetoArea, x_, y_);
    std::vector<ParetoPoint> points_of_front;
    for (const Placed& placed : front) points_of_front.push_back(*placed.point);
    chart.body += fmt::format("<path class=\"front\" d=\"{}\"/>\n", path_through(points_of_front));
    for (std::size_t i = 0; i < series_.size(); ++i) draw_series(series_[i], curves_[i], chart);
    chart.legend.push_back({"the front", "<path class=\"front\" d=\"M0 6H26\"/>"});
  }

 private:
  static std::vector<double> values_of(const std::vector<Placed>& all, double ParetoPoint::*value) {
    std::vector<double> values;
    for (const Placed& placed : all) values.push_back(placed.point->*value);
    return values;
  }

  /// The points of a series by speed per user, without those whose load limits the throughput.
  static std::vector<ParetoPoint> curve_of(const ParetoSeries& series) {
    std::vector<ParetoPoint> curve = series.points;
    std::erase_if(curve, [](const ParetoPoint& point) { return point.is_load_limited; });
    std::sort(curve.begin(), curve.end(),
              [](const ParetoPoint& a, const ParetoPoint& b) { return a.tok_per_s_per_user < b.tok_per_s_per_user; });
    return curve;
  }

  [[nodiscard]] double x_of(const ParetoPoint& point) const { return x_.scale.at(point.tok_per_s_per_user); }
  [[nodiscard]] double y_of(const ParetoPoint& point) const { return y_.scale.at(point.tok_per_s_per_device); }

  [[nodiscard]] std::string path_through(const std::vector<ParetoPoint>& points) const {
    std::string path;
    for (const ParetoPoint& point : points)
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x_of(point), y_of(point));
    return path;
  }

  void draw_series(const ParetoSeries& one, const std::vector<ParetoPoint>& curve, Chart& chart) {
    chart.body += fmt::format("<path class=\"{}\" d=\"{}\"/>\n", line_class(one.look), path_through(curve));
    for (const ParetoPoint& point : one.points) {
      chart.body += marker(x_of(point), y_of(point), one.look,
                           fmt::format("{}, {}: {} tokens/s for each user, {} per device", one.label, point.scenario,
                                       figure_text(point.tok_per_s_per_user), figure_text(point.tok_per_s_per_device)));
      chart.body += labels_.label(x_of(point), y_of(point), point.scenario);
    }
    chart.legend.push_back(line_legend(one.label, one.look));
  }

  std::span<const ParetoSeries> series_;
  Axis x_, y_;
  std::vector<std::vector<ParetoPoint>> curves_;  ///< one for each series
  LabelPlaces labels_{kParetoArea};
};

std::string name_of(const Placed& placed) {
  return placed.series->label + ", " + placed.point->scenario;
}

}  // namespace

Chart pareto_chart(std::string title, std::span<const ParetoSeries> series) {
  std::vector<Placed> all;
  for (const ParetoSeries& one : series) {
    for (const ParetoPoint& point : one.points) all.push_back({&one, &point});
  }
  const std::vector<Placed> front = front_of(all);
  Chart chart;
  chart.title = std::move(title);
  chart.table = table_of(series, front);
  if (all.empty()) return chart;
  chart.height = 320;
  chart.description = fmt::format(
      "Each point is one backend, variant and scenario. {} of {} points are on the front: {} gives the fastest stream "
      "to a user, {} the most tokens from a device.",
      front.size(), all.size(), name_of(front.front()), name_of(front.back()));
  ParetoDrawing(series, all).draw(front, chart);
  return chart;
}

}  // namespace secondsource
