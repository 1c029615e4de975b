#pragma once
// The normal distribution, Student's t and the beta distribution, as far as tests and intervals need them.

namespace secondsource {

/// P(Z <= z) for a standard normal Z.
[[nodiscard]] double normal_cdf(double z);

/// The z with P(Z <= z) = p, 0 < p < 1, found by bisection of normal_cdf.
[[nodiscard]] double normal_quantile(double p);

/// I_x(a, b), the regularized incomplete beta function; a, b > 0, 0 <= x <= 1 (Abramowitz and Stegun 26.5.8, by the
/// modified Lentz method).
[[nodiscard]] double regularized_beta(double a, double b, double x);

/// P(T <= t) for Student's t with `degrees` > 0 degrees of freedom, through the regularized incomplete beta function
/// (Abramowitz and Stegun 26.7.1).
[[nodiscard]] double student_t_cdf(double t, double degrees);

/// The t with P(T <= t) = p, 0 < p < 1, found by bisection of student_t_cdf.
[[nodiscard]] double student_t_quantile(double p, double degrees);

}  // namespace secondsource
