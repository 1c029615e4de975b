#pragma once
// Approximate f32 functions of the hardware, accurate to a few units in the last place, for results that are rounded to
// BF16.

#include <cmath>

#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// log2(e): e^x is 2^(kLog2E x).
inline constexpr float kLog2E = 1.4426950409F;

/// 2^x within two units in the last place; 0 where the result would be subnormal.
SS_DEVICE float fast_exp2(float x) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#elif defined(SS_GPU_HIP)
  return __builtin_exp2f(x);  // an instruction; exp2f() is a call where the device library is not linked
#else
  return exp2f(x);
#endif
}

/// a / b, for b below 2^126 or infinite.
SS_DEVICE float fast_divide(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdividef(a, b);
#else
  return a / b;
#endif
}

/// tanh(x) with an absolute error of about 1e-7.
SS_DEVICE float fast_tanh(float x) {
  return 1.0F - fast_divide(2.0F, fast_exp2(2.0F * kLog2E * x) + 1.0F);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
