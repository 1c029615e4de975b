#include "onednn/row_kernels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/exp_nonpositive.h"
#include "core/vector_clones.h"

namespace secondsource::onednn {
namespace {

constexpr std::size_t kLanes = 16;

}  // namespace

SS_VECTOR_CLONES void round_row(std::span<const float> x, Bf16* out) {
  const float* const in = x.data();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(in[i]);
    const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    const std::uint32_t quiet = (bits >> 16) | 0x40U;
    out[i].bits = static_cast<std::uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? quiet : rounded);
  }
}

SS_VECTOR_CLONES float quantize_row(std::span<const float> x, float static_scale, std::int8_t* out) {
  // Compared as integers, magnitudes keep their order, with infinity and then NaN above all numbers. A maximum of floats
  // would lose NaN.
  std::uint32_t row_max = 0;
  for (const float value : x) {
    const std::uint32_t size = std::bit_cast<std::uint32_t>(value) & 0x7fffffffU;
    row_max = size > row_max ? size : row_max;
  }
  const float largest = std::bit_cast<float>(row_max);
  const bool is_static = static_scale > 0.0F;
  const float scale = is_static ? largest * 0.0F + static_scale : largest / 127.0F;  // NaN * 0 and infinity * 0 are NaN
  const float least = is_static ? -128.0F : -127.0F;
  if (!(scale > 0.0F && scale < std::numeric_limits<float>::infinity())) {
    std::fill_n(out, x.size(), std::int8_t{0});  // 0 times an infinite scale or NaN is NaN
    return scale;
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    // Adding 1.5 * 2^23 rounds half to even where |x / s| is below 2^22; what is larger stays beyond the bounds.
    const float q = (x[i] / scale + 12582912.0F) - 12582912.0F;
    out[i] = static_cast<std::int8_t>(q > 127.0F ? 127.0F : q < least ? least : q);
  }
  return scale;
}

SS_VECTOR_CLONES float inverse_rms(std::span<const float> x, float eps) {
  const std::size_t n = x.size();
  std::array<float, kLanes> lanes{};
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane] * x[i + lane];
  }
  double total = 0.0;
  for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (const float lane : lanes) total += static_cast<double>(lane);
  return static_cast<float>(1.0 / std::sqrt(total / static_cast<double>(n) + static_cast<double>(eps)));
}

SS_VECTOR_CLONES void scale_by_weights(std::span<const float> x, float factor, std::span<const float> weight,
                                       std::span<float> out) {
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = x[i] * factor * weight[i];
}

SS_VECTOR_CLONES void add_scaled_by_weights(std::span<const float> residual, std::span<const float> x, float factor,
                                            std::span<const float> weight, std::span<float> out) {
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = residual[i] + x[i] * factor * weight[i];
}

SS_VECTOR_CLONES void rms_norm_row(std::span<const float> x, std::span<const float> add, std::span<const float> weight,
                                   float eps, std::span<float> sum, std::span<float> out) {
  const std::size_t n = x.size();
  if (!add.empty()) {
    for (std::size_t i = 0; i < n; ++i) sum[i] = x[i] + add[i];
  } else if (sum.data() != x.data()) {
    std::copy_n(x.data(), n, sum.data());
  }
  scale_by_weights(sum, inverse_rms(sum, eps), weight, out);
}

void layer_norm_row(const LayerNormRow& row) {
  const std::size_t n = row.x.size();
  // A sum of its own, because sum_out may be x.
  std::vector<float> added(row.add.begin(), row.add.end());
  for (std::size_t i = 0; i < added.size(); ++i) added[i] += row.x[i];
  const std::span<const float> sum = row.add.empty() ? row.x : added;
  double total = 0.0;
  for (const float value : sum) total += static_cast<double>(value);
  if (!row.sum_out.empty() && row.sum_out.data() != sum.data()) std::ranges::copy(sum, row.sum_out.begin());
  const double mean = total / static_cast<double>(n);
  double squares = 0.0;
  for (const float value : sum) {
    const double difference = static_cast<double>(value) - mean;
    squares += difference * difference;
  }
  const double factor = 1.0 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(row.eps));
  for (std::size_t i = 0; i < n; ++i) {
    const auto normed = static_cast<float>((static_cast<double>(sum[i]) - mean) * factor);
    const float product = normed * row.weight[i] + (row.bias.empty() ? 0.0F : row.bias[i]);
    row.out[i] = row.residual.empty() ? product : row.residual[i] + product;
  }
}

SS_VECTOR_CLONES void rotate_row(std::span<float> head, const float* cosine, const float* sine) {
  const std::size_t half = head.size() / 2;
  float* const low = head.data();
  float* const high = head.data() + half;
  for (std::size_t i = 0; i < half; ++i) {
    const float a = low[i];
    const float b = high[i];
    low[i] = a * cosine[i] - b * sine[i];
    high[i] = b * cosine[i] + a * sine[i];
  }
}

SS_VECTOR_CLONES void decode_bf16_row(const Bf16* table, float scale, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = scale * std::bit_cast<float>(static_cast<std::uint32_t>(table[i].bits) << 16);
  }
}

SS_VECTOR_CLONES float dot_bf16(const float* a, const Bf16* b, std::int32_t n) {
  std::array<float, kLanes> lanes{};
  std::int32_t i = 0;
  for (; i + static_cast<std::int32_t>(kLanes) <= n; i += static_cast<std::int32_t>(kLanes)) {
    for (std::int32_t lane = 0; lane < static_cast<std::int32_t>(kLanes); ++lane) {
      lanes[static_cast<std::size_t>(lane)] +=
          a[i + lane] * std::bit_cast<float>(static_cast<std::uint32_t>(b[i + lane].bits) << 16);
    }
  }
  float sum = 0.0F;
  for (; i < n; ++i) sum += a[i] * to_float(b[i]);
  for (const float lane : lanes) sum += lane;
  return sum;
}

SS_VECTOR_CLONES void add_scaled_bf16(float weight, const Bf16* values, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] += weight * std::bit_cast<float>(static_cast<std::uint32_t>(values[i].bits) << 16);
  }
}

SS_VECTOR_CLONES float exp_row(std::span<float> x, float row_max) {
  std::array<float, kLanes> lanes{};
  std::size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float value = exp_nonpositive(x[i + lane] - row_max);
      x[i + lane] = value;
      lanes[lane] += value;
    }
  }
  float sum = 0.0F;
  for (; i < x.size(); ++i) {
    x[i] = exp_nonpositive(x[i] - row_max);
    sum += x[i];
  }
  for (const float lane : lanes) sum += lane;
  return sum;
}

SS_VECTOR_CLONES float max_row(std::span<const float> x) {
  std::array<float, kLanes> lanes;
  lanes.fill(-std::numeric_limits<float>::infinity());
  std::size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
  }
  float row_max = -std::numeric_limits<float>::infinity();
  for (; i < x.size(); ++i) row_max = std::max(row_max, x[i]);
  for (const float lane : lanes) row_max = std::max(row_max, lane);
  return row_max;
}

SS_VECTOR_CLONES void scale_row(std::span<float> x, float factor) {
  for (float& value : x) value *= factor;
}

SS_VECTOR_CLONES void gelu_row(std::span<float> x, std::span<const float> up) {
  float* const out = x.data();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float value = out[i];
    const float two_y = 1.5957691216F * (value + 0.044715F * value * value * value);  // 2 sqrt(2 / pi)
    const float size = std::fabs(two_y);
    const float e = size > 87.0F ? 0.0F : exp_nonpositive(-size);
    out[i] = (two_y < 0.0F ? value * e : value) / (1.0F + e);
  }
  for (std::size_t i = 0; i < up.size(); ++i) out[i] *= up[i];
}

void soft_cap_row(std::span<float> x, float factor, float c) {
  if (c <= 0.0F) {
    scale_row(x, factor);
    return;
  }
  for (float& value : x) value = c * std::tanh(factor * value / c);
}

}  // namespace secondsource::onednn
