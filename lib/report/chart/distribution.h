#pragma once
// The distribution of a time: for each series, the share of its samples up to a given time. Every sample counts and
// none is binned, but the line is thinned to what is visible.

#include <cstdint>
#include <optional>
#include <span>

#include "report/chart/chart.h"
#include "summary/distribution.h"

namespace secondsource {

struct DistributionSeries {
  std::string label{};
  SeriesLook look{};
  Distribution distribution{};
};

/// `of` is "requests" or "gaps", and `unit` is "ms".
[[nodiscard]] Chart distribution_chart(std::string title, std::string_view of, std::string_view unit,
                                       std::span<const DistributionSeries> series);

}  // namespace secondsource
