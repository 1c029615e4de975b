#include "report/change_bars.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr int kHalfColumns = 20;  // columns to each side of no change

/// The column of a change; what lies outside of the scale is at its end.
std::size_t bar_column(double percent, double scale) {
  const double at = std::clamp(percent / scale, -1.0, 1.0) * kHalfColumns;
  return static_cast<std::size_t>(kHalfColumns + std::lround(at));
}

struct ChangeBar {
  std::string name;
  double low, change, high;
};

std::string draw_bar(const ChangeBar& bar, double scale, double threshold) {
  std::string line(2 * kHalfColumns + 1, ' ');
  line[bar_column(-threshold, scale)] = ':';
  line[bar_column(threshold, scale)] = ':';
  for (std::size_t at = bar_column(bar.low, scale); at <= bar_column(bar.high, scale); ++at) line[at] = '-';
  line[kHalfColumns] = '|';
  line[bar_column(bar.change, scale)] = 'o';
  return line;
}

}  // namespace

std::vector<std::string> change_bars(const GateReport& report, std::size_t max_lines) {
  std::vector<ChangeBar> bars;
  double scale = 1.5 * report.threshold_percent;
  for (const GateVerdict& verdict : report.verdicts) {
    if (!verdict.change_percent) continue;
    bars.push_back({shown(fmt::format("{} {}", verdict.cell.id(), verdict.metric), 80), verdict.low(),
                    *verdict.change_percent, verdict.high()});
  }
  if (bars.empty()) return {};
  std::ranges::stable_sort(bars, std::greater(), &ChangeBar::change);
  if (bars.size() > max_lines) bars.resize(max_lines);
  std::size_t width = 0;
  for (const ChangeBar& bar : bars) {
    width = std::max(width, bar.name.size());
    scale = std::max({scale, std::abs(bar.change)});
  }
  std::vector<std::string> lines = {fmt::format("{:<{}}  {:<{}}{}{:>{}}", "", width, fmt::format("-{:.0f} %", scale),
                                                kHalfColumns, '0', fmt::format("+{:.0f} %", scale), kHalfColumns)};
  for (const ChangeBar& bar : bars) {
    std::string line = fmt::format("{:<{}}  {}  {:+.1f} %", bar.name, width,
                                   draw_bar(bar, scale, report.threshold_percent), bar.change);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace secondsource
