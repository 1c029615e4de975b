#pragma once
// Overflow-checked arithmetic for sizes that come from a file.

#include <cstdint>
#include <optional>

namespace secondsource {

/// a * b, or nullopt when it does not fit.
template <typename T>
[[nodiscard]] constexpr std::optional<T> checked_multiply(T a, T b) {
  T product{};
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// a + b, or nullopt when it does not fit.
template <typename T>
[[nodiscard]] constexpr std::optional<T> checked_add(T a, T b) {
  T sum{};
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

/// The smallest multiple of `alignment` (> 0) that is >= value. It does not check for overflow, so use it only for
/// sizes that we computed ourselves.
template <typename T>
[[nodiscard]] constexpr T round_up(T value, T alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

/// ceil(a / b) for a >= 0, b > 0.
template <typename T>
[[nodiscard]] constexpr T ceil_divide(T a, T b) {
  return (a + b - 1) / b;
}

}  // namespace secondsource
