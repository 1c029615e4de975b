#include "stats/hodges_lehmann.h"

#include <vector>

#include "stats/quantile.h"

namespace secondsource {

std::optional<double> hodges_lehmann(std::span<const double> samples) {
  std::vector<double> averages;
  averages.reserve(samples.size() * (samples.size() + 1) / 2);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    for (std::size_t j = i; j < samples.size(); ++j) averages.push_back(0.5 * (samples[i] + samples[j]));
  }
  return median(averages);
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
