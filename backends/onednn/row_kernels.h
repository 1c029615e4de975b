#pragma once
// This backend's own loops, one row at a time, for what oneDNN does not have or does not do well at these sizes. Callers
// distribute rows over the OpenMP pool. The compiler vectorizes each loop for several instruction sets.

#include <cstdint>
#include <span>

#include "core/half.h"

namespace secondsource::onednn {

/// out[i] = x[i] rounded to BF16, half to even.
void round_row(std::span<const float> x, Bf16* out);

/// Quantizes as ActQuant::kInt8PerRow defines, or as kInt8Static where static_scale is not 0. Returns s, which is not finite if any x[i]
/// is not.
float quantize_row(std::span<const float> x, float static_scale, std::int8_t* out);

/// sum[i] = x[i] + add[i] (add may be empty), out[i] = sum[i] * weight[i] / sqrt(mean(sum^2) + eps). sum may be x. The
/// squares are summed in f32 in 16 lanes, and the lanes in f64.
void rms_norm_row(std::span<const float> x, std::span<const float> add, std::span<const float> weight, float eps,
                  std::span<float> sum, std::span<float> out);

/// One row of a norm that centers (op.h's RmsNorm). add, bias, sum_out and residual may be empty; sum_out may be x, out may
/// be residual.
struct LayerNormRow {
  std::span<const float> x = {};
  std::span<const float> add = {};
  std::span<const float> weight = {};
  std::span<const float> bias = {};
  float eps = 0.0F;
  std::span<float> sum_out = {};
  std::span<const float> residual = {};
  std::span<float> out = {};
};
/// The sums are f64, in the order of the row.
void layer_norm_row(const LayerNormRow& row);

/// 1 / sqrt(mean(x^2) + eps), summed as in rms_norm_row.
float inverse_rms(std::span<const float> x, float eps);

/// out[i] = x[i] * factor * weight[i]; out may be x.
void scale_by_weights(std::span<const float> x, float factor, std::span<const float> weight, std::span<float> out);

/// out[i] = residual[i] + x[i] * factor * weight[i]; out may be residual.
void add_scaled_by_weights(std::span<const float> residual, std::span<const float> x, float factor,
                           std::span<const float> weight, std::span<float> out);

/// (a, b) = (x[i], x[i + half]) -> (a cos[i] - b sin[i], b cos[i] + a sin[i])
void rotate_row(std::span<float> head, const float* cosine, const float* sine);

/// out[i] = scale * table[i]; BF16 is decoded exactly.
void decode_bf16_row(const Bf16* table, float scale, std::span<float> out);

/// sum_i a[i] * b[i] with b in BF16, f32 accumulation in 16 lanes.
float dot_bf16(const float* a, const Bf16* b, std::int32_t n);

/// out[i] += weight * values[i]
void add_scaled_bf16(float weight, const Bf16* values, std::span<float> out);

/// x[i] = exp(x[i] - row_max); returns the sum. Arguments are clamped to [-87, 0].
float exp_row(std::span<float> x, float row_max);

/// max_i x[i]; x is not empty.
float max_row(std::span<const float> x);

/// x[i] *= factor
void scale_row(std::span<float> x, float factor);

/// x[i] = gelu(x[i]) * up[i], or gelu(x[i]) without ups: op.h's tanh approximation as x / (1 + e^-2y), which does not cancel.
void gelu_row(std::span<float> x, std::span<const float> up);

/// x[i] = c * tanh(factor * x[i] / c) for c > 0, else factor * x[i]
void soft_cap_row(std::span<float> x, float factor, float c);

}  // namespace secondsource::onednn
