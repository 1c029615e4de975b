// Epilogues of products (backend/op.h's Epilogue): what is applied to a sum before it is stored, as gpu/kernels/epilogue.h has it.
//
// NaN stays NaN: numbers are bounded by comparisons after is_nan(), since a driver may turn a bare comparison into a minimum, which drops
// NaN. Where exponential() is infinite, the quotient is the limit, 0.

#include "exponential.glsl"

/// tanh(x), which does not overflow for large x and does not cancel near 0.
float careful_tanh(float x) {
  const float magnitude = abs(x);
  if (magnitude < 0.25) {
    const float square = x * x;  // the Taylor series; the next term is below 1e-8 of the result
    return x + x * square * (-0.33333333333 + square * (0.13333333333 + square * (-0.05396825397 + square * 0.02186948854)));
  }
  const float power = exponential(-2.0 * magnitude);
  const float result = (1.0 - power) / (1.0 + power);
  return x < 0.0 ? -result : result;
}

/// c * tanh(x / c), or x if c is 0.
float soft_cap(float x, float c) { return c > 0.0 ? c * careful_tanh(x / c) : x; }

/// gelu(x) in the tanh approximation: x/2 (1 + tanh y) = x / (1 + e^-2y), which does not cancel for x < 0.
float gelu(float x) {
  const float minus_2y = -1.5957691216 * (x + 0.044715 * x * x * x);  // -2 sqrt(2 / pi)
  return x / (1.0 + exponential(minus_2y));
}

bool is_gated(int epilogue) {
  return epilogue == kEpilogueGatedSilu || epilogue == kEpilogueGatedGelu || epilogue == kEpilogueGatedClampedSwish;
}

/// silu(gate) * up, gelu(gate) * up, or op.h's kGatedClampedSwish with the constants of kClampedSwish.
float gated(int epilogue, float gate, float up) {
  if (epilogue == kEpilogueGatedClampedSwish) {
    const float limit = 7.0;
    const float g = is_nan(gate) || gate <= limit ? gate : limit;
    const float bounded = is_nan(up) || up <= limit ? up : limit;
    const float u = is_nan(up) || bounded >= -limit ? bounded : -limit;
    return g / (1.0 + exponential(-1.702 * g)) * (u + 1.0);
  }
  if (epilogue == kEpilogueGatedSilu) return gate / (1.0 + exponential(-gate)) * up;
  return gelu(gate) * up;
}
