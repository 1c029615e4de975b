#pragma once
// Division by a number that the host prepared (kernels.h's Divisor): one multiplication, where the hardware has no
// instruction for the division of integers and a compiler makes about twenty.

#include "gpu/kernels/kernels.h"
#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// floor(n / divisor), for 0 <= n < 2^31.
SS_DEVICE int divide(int n, const Divisor& by) {
  return static_cast<int>(static_cast<std::uint64_t>(static_cast<std::uint32_t>(n)) * by.multiplier >> by.shift);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
