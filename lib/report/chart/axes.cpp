#include "report/chart/axes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/chart/chart.h"

namespace secondsource {
namespace {

constexpr double kLogFrom = 8;      ///< ratio of the largest to the smallest value
constexpr double kCharacterPx = 8;  ///< the most that a character of a label is wide

struct Extent {
  double low = 0;
  double high = 1;
};

Extent extent_of(std::span<const double> values) {
  if (values.empty()) return {};
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {*low, *high};
}

/// Returns the smallest number of the form 1, 2 or 5 times a power of ten that is at least `value`.
double round_up(double value) {
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (step * power >= value * (1 - 1e-9)) return step * power;
  }
  return 10 * power;
}

/// Formats a tick as "0.3", not as "0.30000000000000004" or "0.300".
std::string tick_text(double value) {
  return fmt::format("{:.6g}", value + 0.0);  // avoids "-0"
}

}  // namespace

Scale Scale::from_zero(std::span<const double> values, double from_px, double to_px) {
  const double high = extent_of(values).high;
  if (!(high > 0)) return {0, 1, from_px, to_px, false};
  const double step = round_up(high / 5);
  return {0, step * std::ceil(high / step - 1e-9), from_px, to_px, false};
}

Scale Scale::spanning(std::span<const double> values, double from_px, double to_px) {
  const Extent extent = extent_of(values);
  if (!(extent.low > 0) || extent.high < kLogFrom * extent.low) return from_zero(values, from_px, to_px);
  // Some room at both ends, so that no point is on the frame.
  return {extent.low / 1.15, extent.high * 1.15, from_px, to_px, true};
}

Scale Scale::around(std::span<const double> values, double from_px, double to_px) {
  const Extent extent = extent_of(values);
  const double width = std::max(extent.high - extent.low, 0.02 * std::abs(extent.high));
  const double step = round_up((width > 0 ? width : 1) / 5);
  return {step * std::floor((extent.low - 0.1 * width) / step), step * std::ceil((extent.high + 0.1 * width) / step),
          from_px, to_px, false};
}

double Scale::at(double value) const {
  double share = 0;
  if (logarithmic_) {
    share = value > 0 ? std::log(value / low_) / std::log(high_ / low_) : 0;
  } else {
    share = (value - low_) / (high_ - low_);
  }
  return from_px_ + std::clamp(share, 0.0, 1.0) * (to_px_ - from_px_);
}

std::vector<double> Scale::ticks() const {
  std::vector<double> result;
  if (!logarithmic_) {
    const double step = round_up((high_ - low_) / 6);
    for (double i = std::ceil(low_ / step - 1e-9); i * step <= high_ * (1 + 1e-9); ++i) result.push_back(i * step);
    return result;
  }
  const double decades = std::log10(high_ / low_);
  for (double power = std::floor(std::log10(low_)); power <= std::log10(high_); ++power) {
    for (const double step : {1.0, 2.0, 5.0}) {
      if (decades > 2 && step > 1) continue;
      const double tick = step * std::pow(10, power);
      if (tick >= low_ && tick <= high_) result.push_back(tick);
    }
  }
  return result;
}

std::string draw_x_axis(const PlotArea& area, const Axis& x) {
  std::string out;
  double last_label_end = -1e9;
  for (const double tick : x.scale.ticks()) {
    double at = x.scale.at(tick);
    out += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>\n", at, area.top, area.bottom);
    const std::string label = tick_text(tick);
    const double half_width = 0.5 * kCharacterPx * static_cast<double>(label.size());
    at = std::clamp(at, half_width, kChartWidth - half_width);
    if (at - half_width < last_label_end + 4) continue;  // labels never overlap
    last_label_end = at + half_width;
    out += fmt::format("<text class=\"quiet\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", at,
                       area.bottom + 17, label);
  }
  out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}{}</text>\n", area.right, area.bottom + 36,
                     escape_markup(x.title), x.scale.is_logarithmic() ? ", log scale" : "");
  return out;
}

std::string draw_y_axis(const PlotArea& area, const Axis& y) {
  std::string out;
  for (const double tick : y.scale.ticks()) {
    const double at = y.scale.at(tick);
    out += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", area.left, at, area.right);
    const std::string label = tick_text(tick);
    // A long label may come nearer to the axis, so that it is not cut at the left edge.
    const double end = std::clamp(kCharacterPx * static_cast<double>(label.size()), area.left - 6, area.left - 2);
    out += fmt::format("<text class=\"quiet\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", end, at + 4,
                       label);
  }
  return out + fmt::format("<text x=\"0\" y=\"{:.1f}\">{}{}</text>\n", area.top - 12, escape_markup(y.title),
                           y.scale.is_logarithmic() ? ", log scale" : "");
}

std::string draw_axes(const PlotArea& area, const Axis& x, const Axis& y) {
  return draw_x_axis(area, x) + draw_y_axis(area, y) +
         fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\"/>\n", area.left, area.top, area.bottom,
                     area.right);
}

}  // namespace secondsource
