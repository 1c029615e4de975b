#pragma once
// Throughput against speed for each user: every cell is a point, up and to the right is better, and the cells that no
// other cell beats in both lie on the front.

#include <span>

#include "report/chart/chart.h"

namespace secondsource {

struct ParetoPoint {
  std::string scenario{};
  bool is_load_limited = false;  ///< open loop: its throughput is what was asked for, so it lies on no curve
  double tok_per_s_per_user = 0;
  double tok_per_s_per_device = 0;
};

struct ParetoSeries {
  std::string label{};
  SeriesLook look{};
  std::vector<ParetoPoint> points{};
};

[[nodiscard]] Chart pareto_chart(std::string title, std::span<const ParetoSeries> series);

}  // namespace secondsource
