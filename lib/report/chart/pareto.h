#pragma once
// Throughput against speed per user. Every cell is a point; up and to the right is better. The front has the cells that
// no other cell beats in both.

#include <span>

#include "report/chart/chart.h"

namespace secondsource {

struct ParetoPoint {
  std::string scenario{};
  bool is_load_limited = false;  ///< open loop: the load limits its throughput, so that the point is on no curve
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
