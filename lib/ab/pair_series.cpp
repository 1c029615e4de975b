#include "ab/pair_series.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace secondsource {
namespace {

struct WholePair {
  const ProcessLine* base = nullptr;
  const ProcessLine* candidate = nullptr;
};

/// Complete pairs by index; of several attempts, the last complete one.
std::map<std::int64_t, WholePair> whole_pairs(std::span<const ProcessLine> lines, const std::string& stint) {
  std::map<std::pair<std::int64_t, std::int64_t>, WholePair> attempts;
  for (const ProcessLine& line : lines) {
    if (line.stint != stint || !line.failure.empty()) continue;
    WholePair& pair = attempts[{line.pair, line.attempt}];
    (line.arm == Arm::kBase ? pair.base : pair.candidate) = &line;
  }
  std::map<std::int64_t, WholePair> whole;
  for (const auto& [key, pair] : attempts) {
    if (pair.base != nullptr && pair.candidate != nullptr) whole[key.first] = pair;
  }
  return whole;
}

}  // namespace

std::vector<double> PairSeries::differences() const {
  std::vector<double> result;
  for (std::size_t i = 0; i < base_s.size(); ++i) result.push_back(std::log(candidate_s[i] / base_s[i]));
  return result;
}

std::vector<PairSeries> series_of(std::span<const ProcessLine> lines, const std::string& stint) {
  std::vector<PairSeries> all;
  std::int64_t expected = 0;
  for (const auto& [index, pair] : whole_pairs(lines, stint)) {
    if (index != expected++) break;
    if (all.empty()) {
      for (const CellValue& value : pair.base->values) all.push_back({.cell = value.cell, .metric = value.metric});
    }
    // Every process of a stint has the same cells in the same order; the session rejects any other.
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i].base_s.push_back(pair.base->values[i].seconds);
      all[i].candidate_s.push_back(pair.candidate->values[i].seconds);
    }
  }
  return all;
}

std::int64_t n_whole_pairs(std::span<const ProcessLine> lines, const std::string& stint) {
  std::int64_t n_pairs = 0;
  for (const auto& [index, pair] : whole_pairs(lines, stint)) {
    if (index != n_pairs) break;
    ++n_pairs;
  }
  return n_pairs;
}

PairPool pool_of(std::span<const ProcessLine> lines) {
  std::vector<std::vector<double>> columns;
  std::size_t n_rows = std::numeric_limits<std::size_t>::max();
  for (const std::string& stint : stints_in(lines)) {
    for (const PairSeries& series : series_of(lines, stint)) {
      columns.push_back(series.differences());
      n_rows = std::min(n_rows, columns.back().size());
    }
  }
  PairPool pool;
  for (std::size_t row = 0; !columns.empty() && row < n_rows; ++row) {
    std::vector<double>& values = pool.emplace_back();
    for (const std::vector<double>& column : columns) values.push_back(column[row]);
  }
  return pool;
}

std::vector<std::string> stints_in(std::span<const ProcessLine> lines) {
  std::vector<std::string> stints;
  for (const ProcessLine& line : lines) {
    if (std::find(stints.begin(), stints.end(), line.stint) == stints.end()) stints.push_back(line.stint);
  }
  return stints;
}

}  // namespace secondsource
