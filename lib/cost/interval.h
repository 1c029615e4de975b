#pragma once
// A figure with its interval, and how it is carried through arithmetic. A cost falls when a speed rises and rises with
// a price, so the interval of the result is the function at the ends of the interval of its input: monotone
// propagation, exact for one uncertain input. If k uncertain inputs are moved to their ends at once, each one-sided 95
// % bound becomes one of at least 100 - 5 k % (Bonferroni).

#include <optional>
#include <utility>

namespace secondsource {

struct Interval {
  double value = 0;
  std::optional<double> low{}, high{};  ///< either both are present or neither is

  [[nodiscard]] bool is_bounded() const { return low && high; }
};

/// f(x) for a function f that never falls.
template <typename F>
[[nodiscard]] Interval map_rising(const Interval& x, F f) {
  Interval result{.value = f(x.value)};
  if (x.is_bounded()) {
    result.low = f(*x.low);
    result.high = f(*x.high);
  }
  return result;
}

/// f(x) for a function f that never rises: the ends of the interval are swapped.
template <typename F>
[[nodiscard]] Interval map_falling(const Interval& x, F f) {
  Interval result = map_rising(x, f);
  std::swap(result.low, result.high);
  return result;
}

}  // namespace secondsource
