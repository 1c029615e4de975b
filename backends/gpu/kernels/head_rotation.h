#pragma once
// The norms and the rotary embedding (op.h's RopeSpec) of a head, which one warp computes before attention. The two elements of a
// rotated pair lie half of the rotated part apart.

#include "gpu/portable/target.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// The mean of x.
SS_DEVICE float mean_of(const float* x, int n) {
  float sum = 0.0F;
  for (int i = lane(); i < n; i += kWarpSize) sum += x[i];
  return sum_lanes(sum) / static_cast<float>(n);
}

/// 1 / sqrt(mean((x - center)^2) + eps): with a center of 0 the factor of an RMS norm, with the mean of x that of a LayerNorm.
SS_DEVICE float inverse_rms(const float* x, int n, float eps, float center = 0.0F) {
  float squares = 0.0F;
  for (int i = lane(); i < n; i += kWarpSize) squares += (x[i] - center) * (x[i] - center);
  return 1.0F / sqrtf(sum_lanes(squares) / static_cast<float>(n) + eps);
}

/// The rotation of one pair of elements:
///   first' = first * cos - second * sin,   second' = second * cos + first * sin
struct PairRotation {
  float cos;
  float sin;
  [[nodiscard]] SS_DEVICE float first(float x_first, float x_second) const { return x_first * cos - x_second * sin; }
  [[nodiscard]] SS_DEVICE float second(float x_first, float x_second) const { return x_second * cos + x_first * sin; }
};

/// Without a frequency a pair stays as it is. To be called before the elements are read: with more values alive, nvcc puts the
/// reduction of large angles on the stack.
SS_DEVICE PairRotation pair_rotation(int position, float inv_freq, float attention_factor) {
  const float angle = static_cast<float>(position) * inv_freq;
  const float size = inv_freq == 0.0F ? 1.0F : attention_factor;
  return {.cos = size * cosf(angle), .sin = size * sinf(angle)};
}

/// What op.h's QueryGrowth multiplies a query by; 1 with a period of 0.
SS_DEVICE float query_growth(int position, float beta, int period) {
  return period > 0 ? 1.0F + beta * logf(static_cast<float>(1 + position / period)) : 1.0F;
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
