#pragma once
// Scales, ticks and axes, which map values to positions in the drawing.

#include <span>
#include <string>
#include <vector>

namespace secondsource {

/// The area of the data inside a chart, in the chart's pixels.
struct PlotArea {
  double left = 56;
  double top = 26;
  double right = 466;
  double bottom = 250;
};

/// Maps values to pixels, linearly or logarithmically.
class Scale {
 public:
  /// A linear scale from zero to the largest value, rounded up.
  static Scale from_zero(std::span<const double> values, double from_px, double to_px);
  /// A logarithmic scale if the values are positive and the largest is at least eight times the smallest; otherwise a
  /// scale from zero.
  static Scale spanning(std::span<const double> values, double from_px, double to_px);
  /// A linear scale around the values with a margin, not from zero, for series over time, where the changes matter.
  static Scale around(std::span<const double> values, double from_px, double to_px);

  static Scale between(double low, double high, double from_px, double to_px) {
    return {low, high, from_px, to_px, false};
  }

  /// Position of a value; values beyond an end are placed at that end.
  [[nodiscard]] double at(double value) const;
  [[nodiscard]] bool is_logarithmic() const noexcept { return logarithmic_; }
  /// Round values for ticks, about six at most.
  [[nodiscard]] std::vector<double> ticks() const;

 private:
  Scale(double low, double high, double from_px, double to_px, bool logarithmic)
      : low_(low), high_(high), from_px_(from_px), to_px_(to_px), logarithmic_(logarithmic) {}
  double low_;
  double high_;
  double from_px_;
  double to_px_;
  bool logarithmic_;
};

struct Axis {
  Scale scale;
  std::string title{};
};

/// Draws grid, ticks and titles of both axes. The title of `y` is above the axis, so that it is horizontal.
[[nodiscard]] std::string draw_axes(const PlotArea& area, const Axis& x, const Axis& y);
/// Each of these draws one axis alone.
[[nodiscard]] std::string draw_x_axis(const PlotArea& area, const Axis& x);
[[nodiscard]] std::string draw_y_axis(const PlotArea& area, const Axis& y);

}  // namespace secondsource
