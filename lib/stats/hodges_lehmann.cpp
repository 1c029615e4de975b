#include "stats/hodges_lehmann.h"

#include <vector>

#include "stats/quantile.h"
#include "stats/signed_rank.h"

namespace secondsource {

std::optional<double> hodges_lehmann(std::span<const double> samples) {
  if (samples.empty()) return std::nullopt;
  return WalshAverages(samples).estimate();
}

std::optional<double> hodges_lehmann_shift(std::span<const double> a, std::span<const double> b) {
  std::vector<double> differences;
  differences.reserve(a.size() * b.size());
  for (const double from : a) {
    for (const double to : b) differences.push_back(to - from);
  }
  return median(differences);
}

}  // namespace secondsource
