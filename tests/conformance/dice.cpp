#include <algorithm>
#include <array>
#include <span>

#include "conformance/build.h"
#include "core/vector_clones.h"

namespace secondsource::conformance {
namespace {

constexpr std::uint64_t kDrawsPerNormal = 12;

/// Each sum is that of twelve consecutive uniform draws of the stream, minus its mean of 6. Draws do not depend on each other, so that
/// those of neighbouring sums can be computed with vector instructions.
SS_VECTOR_CLONES void sum_draws(const RandomStream& stream, std::span<double> sums) {
  std::ranges::fill(sums, -6.0);
  for (std::uint64_t draw = 0; draw < kDrawsPerNormal; ++draw) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += stream.unit_after(kDrawsPerNormal * i + draw);
  }
}

}  // namespace

std::vector<float> Dice::normals(std::size_t n, float deviation, float mean) {
  std::vector<float> values(n);
  std::array<double, 256> sums{};
  for (std::size_t first = 0; first < n; first += sums.size()) {
    const std::span<double> some = std::span(sums).first(std::min(sums.size(), n - first));
    sum_draws(stream_, some);
    stream_.skip(kDrawsPerNormal * some.size());
    for (std::size_t i = 0; i < some.size(); ++i) values[first + i] = mean + deviation * static_cast<float>(some[i]);
  }
  return values;
}

}  // namespace secondsource::conformance
