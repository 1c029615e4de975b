#include "stats/monotone_trend.h"

#include <algorithm>
#include <cmath>

#include "stats/distribution.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

constexpr std::size_t kFewestPoints = 8;

/// Sum of t (t - 1) (2t + 5) over groups of t equal values.
double tie_correction(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (auto first = values.begin(); first != values.end();) {
    const auto last = std::upper_bound(first, values.end(), *first);
    const auto t = static_cast<double>(last - first);
    sum += t * (t - 1) * (2 * t + 5);
    first = last;
  }
  return sum;
}

}  // namespace

std::optional<MonotoneTrend> monotone_trend(std::span<const double> x, std::span<const double> y) {
  if (x.size() != y.size() || x.size() < kFewestPoints) return std::nullopt;
  double score = 0;
  std::vector<double> slopes;
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = i + 1; j < x.size(); ++j) {
      if (!(x[j] > x[i])) continue;
      score += y[j] > y[i] ? 1 : y[j] < y[i] ? -1 : 0;
      slopes.push_back((y[j] - y[i]) / (x[j] - x[i]));
    }
  }
  const auto n = static_cast<double>(x.size());
  const double variance = (n * (n - 1) * (2 * n + 5) - tie_correction({y.begin(), y.end()})) / 18;
  MonotoneTrend trend;
  if (slopes.empty() || !(variance > 0)) return trend;
  trend.p = std::min(1.0, 2 * (1 - normal_cdf(std::max(0.0, std::abs(score) - 1) / std::sqrt(variance))));
  trend.slope = *median(slopes);
  trend.intercept = *median(y) - trend.slope * *median(x);
  return trend;
}

std::vector<double> medians_of_groups(std::span<const double> values, std::size_t n_groups) {
  n_groups = std::min(n_groups, values.size());
  std::vector<double> medians;
  for (std::size_t group = 0; group < n_groups; ++group) {
    const std::size_t first = group * values.size() / n_groups;
    const std::size_t last = (group + 1) * values.size() / n_groups;
    medians.push_back(*median(values.subspan(first, last - first)));
  }
  return medians;
}

}  // namespace secondsource
