#pragma once
// The factor by which queries at a position are multiplied, for backends that compute in f32.

#include <cmath>
#include <cstdint>

#include "backend/op.h"

namespace secondsource {

/// The factor of op.h's QueryGrowth at `position` >= 0; 1 where queries do not grow.
[[nodiscard]] inline float query_scale(const QueryGrowth& growth, std::int32_t position) {
  if (growth.period == 0) return 1.0F;
  const std::int32_t n_periods = position / growth.period;
  return 1.0F + growth.beta * std::log(static_cast<float>(1 + n_periods));
}

}  // namespace secondsource
