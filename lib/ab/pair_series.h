#pragma once
// Converts the pairs of a comparison to the numbers that the gate takes.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ab/ab_record.h"
#include "gate/operating_characteristic.h"

namespace secondsource {

/// The values of one cell and metric: one entry per complete pair, in the order of the pairs.
struct PairSeries {
  CellKey cell{};
  std::string metric{};
  std::vector<double> base_s{}, candidate_s{};

  /// ln(candidate / base)
  [[nodiscard]] std::vector<double> differences() const;
};

/// Returns the complete pairs of one stint up to the first one that is missing. The series ends there because
/// continuing after a failed pair would select pairs by their outcome.
[[nodiscard]] std::vector<PairSeries> series_of(std::span<const ProcessLine> lines, const std::string& stint);

/// Number of complete pairs of the stint before the first one that is missing.
[[nodiscard]] std::int64_t n_whole_pairs(std::span<const ProcessLine> lines, const std::string& stint);

/// All cells of all stints as one pool, with one row for each pair that all stints have.
[[nodiscard]] PairPool pool_of(std::span<const ProcessLine> lines);

/// The stints of the lines, in the order of their first line.
[[nodiscard]] std::vector<std::string> stints_in(std::span<const ProcessLine> lines);

}  // namespace secondsource
