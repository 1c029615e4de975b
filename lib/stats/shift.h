#pragma once
// Is b larger than a, when the two were measured in two sittings? Used by the gate on stored runs.

#include <optional>
#include <span>

namespace secondsource {

/// The shift of b against a with its uncertainty.
struct Shift {
  double estimate = 0;        ///< Hodges-Lehmann shift b - a
  double standard_error = 0;  ///< of the estimate, `extra_sigma` included
  double degrees = 0;         ///< of freedom of Student's t that the p-value and bounds use
  double p_larger = 1;        ///< one-sided p of "b is not larger than a"
  double p_smaller = 1;       ///< one-sided p of "b is not smaller than a"

  /// One-sided bounds of the shift at this confidence (0.95: the shift is above it with 95 %).
  [[nodiscard]] double lower_bound(double confidence) const;
  [[nodiscard]] double upper_bound(double confidence) const;
};

/// Within-sitting noise is the robust sigma of each sample (median absolute deviation; the median's efficiency of 2/pi
/// is charged to the standard error), and every sitting adds a common error of `extra_sigma` that no number of
/// repetitions averages out, one draw for a and one for b. nullopt below five samples on either side.
[[nodiscard]] std::optional<Shift> estimate_shift(std::span<const double> a, std::span<const double> b,
                                                  double extra_sigma);

}  // namespace secondsource
