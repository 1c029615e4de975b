#pragma once
// Estimates the figures of a cell, each with the interval in which that of a rerun lies (stats/rerun.h): from the values
// of its requests, or from one value of each repetition.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "record/records.h"

namespace secondsource {

/// The median over repetitions. The value is given even for few of them, the interval only if they support one.
[[nodiscard]] Estimate estimate_over_repetitions(std::span<const double> values);

/// Tells which requests all repetitions of a cell have. Only their values are compared between repetitions, so that
/// prompts of different lengths add nothing to the interval.
class ComparableRequests {
 public:
  /// `samples` are those of `repetitions`.
  ComparableRequests(std::span<const RequestSample* const> samples, std::span<const Repetition* const> repetitions);

  [[nodiscard]] std::size_t n_repetitions() const { return index_of_.size(); }

  /// The index of the sample's repetition; nullopt if its request failed in another repetition, or was not sent there
  /// because the time was used up. `sample` must be one of the samples above, and must not have failed.
  [[nodiscard]] std::optional<std::size_t> repetition_of(const RequestSample& sample) const;

 private:
  std::map<std::int32_t, std::size_t> index_of_;
  std::map<std::int32_t, std::set<std::int32_t>> repetitions_of_;
};

/// The values of one metric: all of them, and of each repetition those that can be compared. Add all, sort, estimate.
class MetricValues {
 public:
  explicit MetricValues(std::size_t n_repetitions) : by_repetition_(n_repetitions) {}

  /// `repetition` is that of ComparableRequests.
  void add(double value, std::optional<std::size_t> repetition);
  void sort();

  /// The value is absent if the sample is smaller than smallest_sample_for(q).
  [[nodiscard]] Estimate quantile(double q) const;
  [[nodiscard]] Estimate mean() const;

 private:
  template <typename Figure>
  [[nodiscard]] std::vector<double> figures(const Figure& figure) const;

  std::vector<double> all_;
  std::vector<std::vector<double>> by_repetition_;
};

}  // namespace secondsource
