#include "stats/shift.h"

#include <cmath>

#include "stats/distribution.h"
#include "stats/hodges_lehmann.h"
#include "stats/quantile.h"

namespace secondsource {

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
  // pi / 2: variance of a median relative to that of a mean.
  constexpr double kMedianVarianceFactor = 1.5707963267948966;
  const auto n_a = static_cast<double>(a.size());
  const auto n_b = static_cast<double>(b.size());
  const double within = kMedianVarianceFactor * (*sigma_a * *sigma_a / n_a + *sigma_b * *sigma_b / n_b);
  Shift shift;
  shift.estimate = *hodges_lehmann_shift(a, b);
  shift.standard_error = std::sqrt(within + 2 * extra_sigma * extra_sigma);
  shift.degrees = n_a + n_b - 2;
  if (shift.standard_error > 0) {
    const double t = shift.estimate / shift.standard_error;
    shift.p_larger = 1 - student_t_cdf(t, shift.degrees);
    shift.p_smaller = student_t_cdf(t, shift.degrees);
  } else {
    shift.p_larger = shift.estimate > 0 ? 0 : 1;
    shift.p_smaller = shift.estimate < 0 ? 0 : 1;
  }
  return shift;
}

}  // namespace secondsource
