#include "summary/metric_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "stats/quantile.h"
#include "stats/rerun.h"

namespace secondsource {
namespace {

/// Adds the interval of a rerun to an estimate that has a value. `by_repetition` has the figure of each repetition.
void add_interval(std::span<const double> by_repetition, Estimate& estimate) {
  if (const auto bounds = rerun_bounds(*estimate.value, by_repetition)) {
    estimate.low = bounds->low;
    estimate.high = bounds->high;
  } else if (const auto n = static_cast<std::int64_t>(by_repetition.size()); n < kFewestRepetitions) {
    estimate.why_not = fmt::format("an interval needs {} repetitions, has {}", kFewestRepetitions, n);
  } else {
    estimate.why_not = "an interval needs a value above 0 in each repetition";
  }
}

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

Estimate estimate_over_repetitions(std::span<const double> values) {
  Estimate result;
  result.n = static_cast<std::int64_t>(values.size());
  result.value = median(values);
  if (result.value) {
    add_interval(values, result);
  } else {
    result.why_not = "no repetition has a value";
  }
  return result;
}

ComparableRequests::ComparableRequests(std::span<const RequestSample* const> samples,
                                       std::span<const Repetition* const> repetitions) {
  for (const Repetition* repetition : repetitions) index_of_.emplace(repetition->repetition, index_of_.size());
  for (const RequestSample* sample : samples) {
    if (sample->error.empty()) repetitions_of_[sample->request].insert(sample->repetition);
  }
}

std::optional<std::size_t> ComparableRequests::repetition_of(const RequestSample& sample) const {
  if (repetitions_of_.at(sample.request).size() < index_of_.size()) return std::nullopt;
  return index_of_.at(sample.repetition);
}

void MetricValues::add(double value, std::optional<std::size_t> repetition) {
  all_.push_back(value);
  if (repetition) by_repetition_[*repetition].push_back(value);
}

void MetricValues::sort() {
  std::ranges::sort(all_);
  for (std::vector<double>& values : by_repetition_) std::ranges::sort(values);
}

Estimate MetricValues::quantile(double q) const {
  Estimate result;
  result.n = static_cast<std::int64_t>(all_.size());
  result.value = supported_quantile_of_sorted(all_, q);
  if (result.value) {
    add_interval(figures([q](std::span<const double> values) { return quantile_of_sorted(values, q); }), result);
  } else {
    result.why_not = fmt::format("needs {} samples, has {}", smallest_sample_for(q), result.n);
  }
  return result;
}

Estimate MetricValues::mean() const {
  Estimate result;
  result.n = static_cast<std::int64_t>(all_.size());
  if (all_.empty()) {
    result.why_not = "needs 1 sample, has 0";
  } else {
    result.value = mean_of(all_);
    add_interval(figures(mean_of), result);
  }
  return result;
}

/// The figure of each repetition that has values.
template <typename Figure>
std::vector<double> MetricValues::figures(const Figure& figure) const {
  std::vector<double> result;
  for (const std::vector<double>& values : by_repetition_) {
    if (!values.empty()) result.push_back(figure(values));
  }
  return result;
}

}  // namespace secondsource
