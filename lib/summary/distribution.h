#pragma once
// The distribution of a cell's samples, thinned to what can be seen: a million timestamps become a few hundred numbers,
// without binning.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace secondsource {

struct Distribution {
  std::int64_t n = 0;
  /// The value that each share of the samples does not exceed. Both are ascending; the first value is the smallest
  /// sample, the last the largest.
  std::vector<double> values{};
  std::vector<double> shares{};
  std::optional<double> p50{}, p95{}, p99{};  ///< absent if the sample does not support it
};

/// Returns the distribution of samples in ascending order, each multiplied by `unit`.
[[nodiscard]] Distribution distribution_of(std::span<const double> ascending, double unit);

}  // namespace secondsource
