#pragma once
// The pairs of a comparison as the numbers that the gate takes.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ab/ab_record.h"
#include "gate/operating_characteristic.h"

namespace secondsource {

/// One cell and metric: an entry a whole pair, in the order of the pairs.
struct PairSeries {
  CellKey cell{};
  std::string metric{};
  std::vector<double> base_s{}, candidate_s{};

  /// ln(candidate / base)
  [[nodiscard]] std::vector<double> differences() const;
};

/// The whole pairs of one stint from the first on: a pair that is missing ends the series, so that what was dropped
/// cannot choose the rest.
[[nodiscard]] std::vector<PairSeries> series_of(std::span<const ProcessLine> lines, const std::string& stint);

/// How many pairs of the stint are whole, from the first on.
[[nodiscard]] std::int64_t n_whole_pairs(std::span<const ProcessLine> lines, const std::string& stint);

/// All cells of all stints as one pool, a row for each pair that all of them have.
[[nodiscard]] PairPool pool_of(std::span<const ProcessLine> lines);

/// The stints that the lines speak of, in their order.
[[nodiscard]] std::vector<std::string> stints_in(std::span<const ProcessLine> lines);

}  // namespace secondsource
