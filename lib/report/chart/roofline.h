#pragma once
// How near the steps of a run came to what the machine can do at best (Williams, Waterman and Patterson, CACM 52,
// 2009): operations a second against operations for each byte that has to be read.

#include <span>

#include "report/chart/chart.h"
#include "report/records.h"

namespace secondsource {

struct RooflinePoint {
  std::string label{};  ///< "cpu bf16"
  std::string steps{};  ///< "single-stream, decode"
  SeriesLook look{};
  double flops_per_byte = 0;
  double flops_per_s = 0;
};

/// Nothing is drawn without points or without a measured read rate.
[[nodiscard]] Chart roofline_chart(std::string title, const RunLimits& limits, std::span<const RooflinePoint> points);

}  // namespace secondsource
