#pragma once
// Tests whether b is larger than a when the two were measured in separate sittings. The gate uses it on stored runs and
// on nights.

#include <optional>
#include <span>

namespace secondsource {

/// The shift of b against a with its uncertainty.
struct Shift {
  double estimate = 0;        ///< Hodges-Lehmann shift b - a
  double standard_error = 0;  ///< of the estimate
  double degrees = 0;         ///< degrees of freedom of Student's t, used for the p-values and the bounds
  double p_larger = 1;        ///< one-sided p of "b is not larger than a"
  double p_smaller = 1;       ///< one-sided p of "b is not smaller than a"

  /// One-sided bounds of the shift at this confidence: with 0.95, the shift lies above the lower bound with 95 %.
  [[nodiscard]] double lower_bound(double confidence) const;
  [[nodiscard]] double upper_bound(double confidence) const;
};

/// For two sittings of several values each. The noise within a sitting is the robust sigma of each sample (median
/// absolute deviation); the standard error accounts for the median's efficiency of 2/pi. In addition every sitting has
/// an error of its own with standard deviation `extra_sigma`, one draw for a and one for b, which no number of
/// repetitions averages out. nullopt if either side has fewer than five samples.
[[nodiscard]] std::optional<Shift> estimate_shift(std::span<const double> a, std::span<const double> b,
                                                  double extra_sigma);

/// For values each of which is a sitting of its own. The standard error is that of Student's t for two samples of one
/// spread, the pooled standard deviation, times the square root of pi/3 for the efficiency of the Hodges-Lehmann shift.
/// Unlike a median absolute deviation of five values, which is now and then far too small, it keeps the tails of t. A
/// single outlier widens it, and so can hide a shift but cannot make one. nullopt if either side has fewer than five
/// samples.
[[nodiscard]] std::optional<Shift> estimate_shift_of_sittings(std::span<const double> a, std::span<const double> b);

}  // namespace secondsource
