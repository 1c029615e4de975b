#pragma once
// The normal and Student's t distribution, as far as tests and intervals need them.

namespace secondsource {

/// P(Z <= z) for a standard normal Z.
[[nodiscard]] double normal_cdf(double z);

/// P(T <= t) for Student's t with `degrees` > 0 degrees of freedom, through the regularized incomplete beta function
/// (Abramowitz and Stegun 26.7.1; continued fraction of 26.5.8 by the modified Lentz method).
[[nodiscard]] double student_t_cdf(double t, double degrees);

/// The t with P(T <= t) = p, 0 < p < 1, by bisection of the above.
[[nodiscard]] double student_t_quantile(double p, double degrees);

}  // namespace secondsource
