#pragma once
// The exponential for a softmax. Its arguments are differences from the maximum, so they are never positive.

#include <bit>
#include <cstdint>

namespace secondsource {

/// exp(x) for x in [-87, 0] or NaN, and exp(-87) for smaller x, with a relative error of about 1e-7. It has no branches
/// or calls, so that the compiler can vectorize the loop around it. The polynomial is that of Cephes expf (Moshier,
/// public domain), degree 5 on [-ln2/2, ln2/2].
[[gnu::always_inline]] inline float exp_nonpositive(float x) {
  x = x < -87.0F ? -87.0F : x;                    // the order of the operands lets NaN pass through
  constexpr float kRoundToInteger = 12582912.0F;  // 1.5 * 2^23: adding it leaves the rounded integer in the low bits
  const float shifted = x * 1.44269504088896341F + kRoundToInteger;
  const float n = shifted - kRoundToInteger;
  const float r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float value = p * r * r + r + 1.0F;
  // The cast gives 2^n. For NaN it gives an arbitrary number, but NaN times any number is NaN.
  return value * std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) - 0x4b400000U + 127U) << 23);
}

}  // namespace secondsource
