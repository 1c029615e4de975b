#pragma once
// Epilogues of products (op.h's Epilogue): what is applied to a sum before it is stored.

#include "gpu/kernels/kernels.h"
#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// c * tanh(x / c), or x if c is 0.
SS_DEVICE float soft_cap(float x, float c) {
  return c > 0.0F ? c * tanhf(x / c) : x;
}

/// gelu(x) in the tanh approximation: x/2 (1 + tanh y) = x / (1 + e^-2y), which does not cancel for x < 0.
SS_DEVICE float gelu(float x) {
  const float minus_2y = -1.5957691216F * (x + 0.044715F * x * x * x);  // -2 sqrt(2 / pi)
  return x / (1.0F + expf(minus_2y));
}

/// silu(gate) * up, gelu(gate) * up in the tanh approximation, or op.h's kGatedClampedSwish.
SS_DEVICE float gated(Epilogue epilogue, float gate, float up) {
  if (epilogue == Epilogue::kGatedClampedSwish) {
    constexpr ClampedSwish kConstants;
    constexpr float kLimit = kConstants.limit;
    // Comparisons and not fminf(), which drops NaN.
    const float g = gate > kLimit ? kLimit : gate;
    const float u = up > kLimit ? kLimit : up < -kLimit ? -kLimit : up;
    return g / (1.0F + expf(-kConstants.alpha * g)) * (u + 1.0F);
  }
  if (epilogue == Epilogue::kGatedSilu) return gate / (1.0F + expf(-gate)) * up;
  return gelu(gate) * up;
}

/// is_gated() of backend/op.h for device code, which the GPU compilers do not let call it.
SS_DEVICE bool is_gated_on_device(Epilogue epilogue) {
  return epilogue == Epilogue::kGatedSilu || epilogue == Epilogue::kGatedGelu ||
         epilogue == Epilogue::kGatedClampedSwish;
}

/// Stores element [row, col] of a product with a non-gated epilogue; out may be aux.
SS_DEVICE void store_product(const MatmulArguments& a, int row, int col, float sum) {
  const std::int64_t at = std::int64_t{row} * a.weight.n_rows + col;
  const bool is_gelu = a.epilogue == Epilogue::kGelu;
  if (a.epilogue == Epilogue::kBias || (is_gelu && a.bias != nullptr)) sum += a.bias[col];
  if (is_gelu) sum = gelu(sum);
  if (a.epilogue == Epilogue::kAddResidual) sum += a.aux[at];
  a.out[at] = soft_cap(sum, a.softcap);
}

/// Stores element [row, pair] of a gated product. Gate and up are neighbouring rows of the weight, but not of the bias,
/// which has those of all gates first.
SS_DEVICE void store_gated(const MatmulArguments& a, int row, int pair, float gate, float up) {
  if (a.bias != nullptr) {
    gate += a.bias[pair];
    up += a.bias[a.weight.n_rows / 2 + pair];
  }
  const std::int64_t at = std::int64_t{row} * (a.weight.n_rows / 2) + pair;
  a.out[at] = soft_cap(gated(a.epilogue, gate, up), a.softcap);
}

/// The bias of one row of an expert's weight, or 0. As in store_gated(), gates come before ups.
SS_DEVICE float expert_bias(const GroupedMatmulArguments& a, int expert, int row) {
  return a.bias != nullptr ? a.bias[std::int64_t{expert} * a.n_expert_rows + row] : 0.0F;
}

/// Element `pair` of an expert's gated product.
SS_DEVICE float gated_by_expert(const GroupedMatmulArguments& a, int expert, int pair, float gate, float up) {
  return gated(a.epilogue, gate + expert_bias(a, expert, pair),
               up + expert_bias(a, expert, a.n_expert_rows / 2 + pair));
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
