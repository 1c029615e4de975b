// Conversions to and from FP16 by the definition of binary16 in IEEE 754, in f64 arithmetic. Tests compare core/half.h, which
// shifts bits, with these.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace secondsource {

/// The value of the FP16 number `bits`, which must not be a NaN.
inline float half_value(std::uint16_t bits) {
  const double sign = (bits >> 15) == 0 ? 1.0 : -1.0;
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  if (exponent == 31) return static_cast<float>(sign * std::numeric_limits<double>::infinity());
  const int significand = exponent == 0 ? mantissa : 1024 + mantissa;
  return static_cast<float>(sign * std::ldexp(significand, std::max(exponent, 1) - 25));
}

/// `value`, which must not be NaN, rounded to the nearest FP16 number, ties to even. From 65520 on, which is half-way between 65504 and
/// 65536, the result is infinite.
inline float nearest_half(float value) {
  const int exponent = std::clamp(std::ilogb(value), -14, 15);
  const double unit = std::ldexp(1.0, exponent - 10);
  const double rounded = std::nearbyint(value / unit) * unit;
  const bool overflows = std::abs(rounded) > 65504.0;
  return static_cast<float>(overflows ? std::copysign(std::numeric_limits<double>::infinity(), rounded) : rounded);
}

}  // namespace secondsource
