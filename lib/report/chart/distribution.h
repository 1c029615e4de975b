#pragma once
// How a time is distributed: for each series, the share of its samples that took at most so long. Every sample counts,
// none is binned; the line is thinned to what can be seen.

#include <cstdint>
#include <optional>
#include <span>

#include "report/chart/chart.h"

namespace secondsource {

/// A quantile with its bounds, in the unit of the samples; absent where the sample does not support it.
struct QuantileText {
  std::optional<double> value{}, low{}, high{};
};

struct Distribution {
  std::int64_t n = 0;
  /// The sample's value at each share, both ascending; the first is the smallest sample, the last the largest.
  std::vector<double> values{};
  std::vector<double> shares{};
  QuantileText p50{}, p95{}, p99{};
};

/// Of samples in ascending order, each multiplied by `unit`.
[[nodiscard]] Distribution distribution_of(std::span<const double> ascending, double unit);

struct DistributionSeries {
  std::string label{};
  SeriesLook look{};
  Distribution distribution{};
};

/// `of`: "requests" or "gaps"; `unit`: "ms".
[[nodiscard]] Chart distribution_chart(std::string title, std::string_view of, std::string_view unit,
                                       std::span<const DistributionSeries> series);

}  // namespace secondsource
