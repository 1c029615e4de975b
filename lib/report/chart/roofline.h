#pragma once
// Roofline: how near the steps of a run came to the machine's limits (Williams, Waterman and Patterson, CACM 52, 2009).
// The axes are operations per second and operations per byte that has to be read.

#include <span>

#include "record/records.h"
#include "report/chart/chart.h"

namespace secondsource {

struct RooflinePoint {
  std::string label{};  ///< "cpu bf16"
  std::string steps{};  ///< "single-stream, decode"
  SeriesLook look{};
  double flops_per_byte = 0;
  double flops_per_s = 0;
};

/// Nothing is drawn without points or without a measured read rate.
[[nodiscard]] Chart roofline_chart(std::string title, const MachineLimits& limits,
                                   std::span<const RooflinePoint> points);

}  // namespace secondsource
