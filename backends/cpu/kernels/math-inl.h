#pragma once
// Exponentials and tanh of 16 f32 lanes, and the activation functions that use them. All arithmetic is f32.

#include "cpu/kernels/simd-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// e^x to about 2 units in the last place: e^x = 2^n e^r, |r| <= ln(2) / 2, the Taylor series of e^r to r^7 / 7!.
inline F32 exponential(const F32& x) {
  // Ends of the range of 2^n; the order of operands lets NaN through.
  const F32 clamped = min(broadcast(88.0F), max(broadcast(-87.0F), x));
  const F32 n = round_even(mul(clamped, broadcast(1.44269504F)));
  // ln(2) in two parts: the first has few enough bits that n * 0.693359375 is exact.
  F32 r = fma(n, broadcast(-0.693359375F), clamped);
  r = fma(n, broadcast(2.12194440e-4F), r);
  F32 p = broadcast(1.0F / 5040.0F);
  p = fma(p, r, broadcast(1.0F / 720.0F));
  p = fma(p, r, broadcast(1.0F / 120.0F));
  p = fma(p, r, broadcast(1.0F / 24.0F));
  p = fma(p, r, broadcast(1.0F / 6.0F));
  p = fma(p, r, broadcast(0.5F));
  p = fma(p, r, broadcast(1.0F));
  p = fma(p, r, broadcast(1.0F));
  return scale_pow2(p, n);
}

/// 2^x for x up to a little above 0, clamped to x >= -126; 1 for x = 0.
#if defined(SS_CPU_SIMD_AVX512)
/// Relative error below 2e-7. x = n + f with 0 <= f <= 1; two instructions derive f and n from x. The polynomial in f has the
/// fifth degree, begins with 1 and has the smallest relative error on this range.
inline F32 exponential2(const F32& x) {
  const F32 clamped = max(broadcast(-126.0F), x);
  const F32 f = fraction(clamped);
  F32 p = broadcast(1.86713005e-3F);
  p = fma(p, f, broadcast(9.01703071e-3F));
  p = fma(p, f, broadcast(5.57999127e-2F));
  p = fma(p, f, broadcast(2.40164444e-1F));
  p = fma(p, f, broadcast(6.93151295e-1F));
  p = fma(p, f, broadcast(1.0F));
  return scale_pow2_below(p, clamped);
}
#else
/// Relative error below 3e-7. x = n + f with |f| <= 1/2, and the Taylor series of 2^f to f^6.
inline F32 exponential2(const F32& x) {
  const F32 clamped = max(broadcast(-126.0F), x);
  const F32 n = round_even(clamped);
  const F32 f = sub(clamped, n);
  F32 p = broadcast(1.54035304e-4F);
  p = fma(p, f, broadcast(1.33335581e-3F));
  p = fma(p, f, broadcast(9.61812911e-3F));
  p = fma(p, f, broadcast(5.55041087e-2F));
  p = fma(p, f, broadcast(2.40226507e-1F));
  p = fma(p, f, broadcast(6.93147181e-1F));
  p = fma(p, f, broadcast(1.0F));
  return scale_pow2(p, n);
}
#endif

/// tanh(x) = 1 - 2 / (e^2x + 1).
inline F32 hyperbolic_tangent(const F32& x) {
  // Near zero 1 - 2 / (e^2x + 1) cancels; the series x - x^3/3 + 2x^5/15 - 17x^7/315 takes over.
  const F32 e = exponential(add(x, x));
  const F32 far = sub(broadcast(1.0F), divide(broadcast(2.0F), add(e, broadcast(1.0F))));
  const F32 square = mul(x, x);
  F32 p = fma(square, broadcast(-17.0F / 315.0F), broadcast(2.0F / 15.0F));
  p = fma(square, p, broadcast(-1.0F / 3.0F));
  return select_small(x, 0.25F, fma(mul(square, p), x, x), far);
}

/// a / (1 + e^-a)
inline F32 silu(const F32& a) {
  return divide(a, add(broadcast(1.0F), exponential(sub(zero(), a))));
}

/// a/2 (1 + tanh y) = a / (1 + e^-2y) with y = sqrt(2/pi) (a + 0.044715 a^3); the right form does not cancel for a < 0.
inline F32 gelu(const F32& a) {
  const F32 cubic = fma(mul(mul(a, a), a), broadcast(0.044715F), a);
  return divide(a, add(broadcast(1.0F), exponential(mul(cubic, broadcast(-1.5957691216F)))));  // -2 sqrt(2 / pi)
}

/// g / (1 + e^(-alpha g)) * (u + 1) with g = min(gate, limit) and u = clamp(up, +-limit).
inline F32 clamped_swish(const F32& gate, const F32& up) {
  // The order of operands lets NaN through.
  const F32 g = min(broadcast(kClampedSwishLimit), gate);
  const F32 u = min(broadcast(kClampedSwishLimit), max(broadcast(-kClampedSwishLimit), up));
  const F32 swish = divide(g, add(broadcast(1.0F), exponential(mul(g, broadcast(-kClampedSwishAlpha)))));
  return mul(swish, add(u, broadcast(1.0F)));
}

/// cap * tanh(x / cap) for cap > 0, else x.
inline F32 soft_cap(const F32& x, float cap) {
  if (!(cap > 0.0F)) return x;
  return mul(broadcast(cap), hyperbolic_tangent(divide(x, broadcast(cap))));
}

}  // namespace secondsource::cpu::SS_CPU_ISA
