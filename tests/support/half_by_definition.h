// FP16 by the definition of binary16 in IEEE 754, in f64 arithmetic: what tests hold core/half.h against, which shifts bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace secondsource {

/// The value of FP16 `bits` that are no NaN.
inline float half_value(std::uint16_t bits) {
  const double sign = (bits >> 15) == 0 ? 1.0 : -1.0;
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  if (exponent == 31) return static_cast<float>(sign * std::numeric_limits<double>::infinity());
  const int significand = exponent == 0 ? mantissa : 1024 + mantissa;
  return static_cast<float>(sign * std::ldexp(significand, std::max(exponent, 1) - 25));
}

/// `value`, which is no NaN, rounded to the nearest FP16, ties to even; infinite from 65520, the middle of 65504 and 65536.
inline float nearest_half(float value) {
  const int exponent = std::clamp(std::ilogb(value), -14, 15);
  const double unit = std::ldexp(1.0, exponent - 10);
  const double rounded = std::nearbyint(value / unit) * unit;
  const bool overflows = std::abs(rounded) > 65504.0;
  return static_cast<float>(overflows ? std::copysign(std::numeric_limits<double>::infinity(), rounded) : rounded);
}

}  // namespace secondsource
