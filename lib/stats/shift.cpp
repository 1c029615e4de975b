#include "stats/shift.h"

#include <cmath>
#include <numbers>
#include <numeric>

#include "stats/distribution.h"
#include "stats/hodges_lehmann.h"
#include "stats/quantile.h"

namespace secondsource {

namespace {

constexpr std::size_t kFewestSamples = 5;

/// The shift with the p-values that follow from its standard error.
Shift shift_of(std::span<const double> a, std::span<const double> b, double standard_error) {
  Shift shift;
  shift.estimate = *hodges_lehmann_shift(a, b);
  shift.standard_error = standard_error;
  shift.degrees = static_cast<double>(a.size() + b.size()) - 2;
  if (standard_error > 0) {
    const double t = shift.estimate / standard_error;
    shift.p_larger = 1 - student_t_cdf(t, shift.degrees);
    shift.p_smaller = student_t_cdf(t, shift.degrees);
  } else {
    shift.p_larger = shift.estimate > 0 ? 0 : 1;
    shift.p_smaller = shift.estimate < 0 ? 0 : 1;
  }
  return shift;
}

double sum_of_squares(std::span<const double> values) {
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return sum;
}

}  // namespace

double Shift::lower_bound(double confidence) const {
  return estimate - student_t_quantile(confidence, degrees) * standard_error;
}

double Shift::upper_bound(double confidence) const {
  return estimate + student_t_quantile(confidence, degrees) * standard_error;
}

std::optional<Shift> estimate_shift(std::span<const double> a, std::span<const double> b, double extra_sigma) {
  const auto sigma_a = robust_sigma(a);
  const auto sigma_b = robust_sigma(b);
  if (!sigma_a || !sigma_b) return std::nullopt;
  constexpr double kMedianVarianceFactor = std::numbers::pi / 2;  // variance of a median relative to that of a mean
  const auto n_a = static_cast<double>(a.size());
  const auto n_b = static_cast<double>(b.size());
  const double within = kMedianVarianceFactor * (*sigma_a * *sigma_a / n_a + *sigma_b * *sigma_b / n_b);
  return shift_of(a, b, std::sqrt(within + 2 * extra_sigma * extra_sigma));
}

std::optional<Shift> estimate_shift_of_sittings(std::span<const double> a, std::span<const double> b) {
  if (a.size() < kFewestSamples || b.size() < kFewestSamples) return std::nullopt;
  constexpr double kShiftVarianceFactor =
      std::numbers::pi / 3;  // variance of a Hodges-Lehmann shift relative to that of a mean
  const auto n_a = static_cast<double>(a.size());
  const auto n_b = static_cast<double>(b.size());
  const double variance = (sum_of_squares(a) + sum_of_squares(b)) / (n_a + n_b - 2);
  return shift_of(a, b, std::sqrt(kShiftVarianceFactor * variance * (1 / n_a + 1 / n_b)));
}

}  // namespace secondsource
