#pragma once
// Scales, ticks and axes: where a value lies on the drawing.

#include <span>
#include <string>
#include <vector>

namespace secondsource {

/// Where the data lie inside a chart, in its own pixels.
struct PlotArea {
  double left = 56;
  double top = 26;
  double right = 466;
  double bottom = 250;
};

/// Values to pixels, linear or logarithmic.
class Scale {
 public:
  /// From zero to the largest value, rounded up.
  static Scale from_zero(std::span<const double> values, double from_px, double to_px);
  /// Logarithmic when the values are positive and the largest is at least eight times the smallest; else from zero.
  static Scale spanning(std::span<const double> values, double from_px, double to_px);
  /// Around the values with a margin, not from zero: for series over time, where the change is the matter.
  static Scale around(std::span<const double> values, double from_px, double to_px);

  static Scale between(double low, double high, double from_px, double to_px) {
    return {low, high, from_px, to_px, false};
  }

  /// Values beyond the ends lie on the ends.
  [[nodiscard]] double at(double value) const;
  [[nodiscard]] bool is_logarithmic() const noexcept { return logarithmic_; }
  /// Round values, about six at most.
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

/// Grid, ticks and titles of both axes; the title of `y` stands above it, to be read without turning the head.
[[nodiscard]] std::string draw_axes(const PlotArea& area, const Axis& x, const Axis& y);
/// One of them alone.
[[nodiscard]] std::string draw_x_axis(const PlotArea& area, const Axis& x);
[[nodiscard]] std::string draw_y_axis(const PlotArea& area, const Axis& y);

}  // namespace secondsource
