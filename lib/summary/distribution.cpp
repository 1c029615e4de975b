#include "summary/distribution.h"

#include <algorithm>

#include "stats/quantile.h"

namespace secondsource {
namespace {

constexpr std::size_t kSteps = 200;  ///< each step is half a percent, which is half a pixel in the drawing

}  // namespace

Distribution distribution_of(std::span<const double> ascending, double unit) {
  Distribution result;
  result.n = static_cast<std::int64_t>(ascending.size());
  if (ascending.empty()) return result;
  const std::size_t last = ascending.size() - 1;
  std::vector<std::size_t> ranks;
  for (std::size_t step = 0; step <= kSteps; ++step) ranks.push_back(last * step / kSteps);
  // The slowest one percent matters most, so it gets additional steps.
  for (const std::size_t tail : {200, 500, 1000, 10'000, 100'000}) ranks.push_back(last - last / tail);
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  for (const std::size_t rank : ranks) {
    result.values.push_back(ascending[rank] * unit);
    result.shares.push_back(static_cast<double>(rank + 1) / static_cast<double>(ascending.size()));
  }
  const auto quantile = [&](double q) {
    const auto value = supported_quantile_of_sorted(ascending, q);
    return value ? std::optional(*value * unit) : std::nullopt;
  };
  result.p50 = quantile(0.5);
  result.p95 = quantile(0.95);
  result.p99 = quantile(0.99);
  return result;
}

}  // namespace secondsource
