#pragma once
// Hodges and Lehmann's estimates of a shift (Ann. Math. Statist. 34, 1963): medians of pairwise means or differences,
// which a single outlier cannot move far.

#include <optional>
#include <span>

namespace secondsource {

/// One sample: the median of all Walsh averages (x_i + x_j) / 2, i <= j. nullopt when empty.
[[nodiscard]] std::optional<double> hodges_lehmann(std::span<const double> samples);

/// Two samples: the median of all differences b_j - a_i. nullopt when either is empty.
[[nodiscard]] std::optional<double> hodges_lehmann_shift(std::span<const double> a, std::span<const double> b);

}  // namespace secondsource
