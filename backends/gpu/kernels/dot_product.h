#pragma once
// Dot products of one weight row with a few rows of activations by a warp: what decode spends its time on. Every lane
// takes 16 bytes of the row at a time, so that a warp reads neighbouring 512 (1024) bytes at once, and each byte of the
// weight once for all rows of x.

#include "gpu/kernels/weight_code.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// a . b over four int8 each, added to c.
SS_DEVICE int dot4(std::uint32_t a, std::uint32_t b, int c) {
#if defined(__CUDA_ARCH__)
  return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
#else
  SS_UNROLL
  for (int i = 0; i < 4; ++i) c += static_cast<std::int8_t>(a >> (8 * i)) * static_cast<std::int8_t>(b >> (8 * i));
  return c;
#endif
}

/// n values of x from column `col` on, zeros behind n_cols. `aligned`: rows of x begin at multiples of 16 bytes.
template <int kValues>
SS_DEVICE void load_activations(const float* x, int col, int n_cols, bool aligned, float* values) {
  if (aligned && col + kValues <= n_cols) {
    SS_UNROLL
    for (int i = 0; i < kValues; i += 4) {
      const Chunk chunk = load_chunk(x + col + i);
      for (int j = 0; j < 4; ++j) values[i + j] = bits_as<float>(chunk.word[j]);
    }
    return;
  }
  SS_UNROLL
  for (int i = 0; i < kValues; ++i) values[i] = col + i < n_cols ? x[col + i] : 0.0F;
}

/// sums[m] += this lane's share of weight[row] . x[m]; the row's scale is left out, groups' scales are not.
template <WeightEncoding kEncoding, int kRows>
SS_DEVICE void accumulate_dot(const WeightView& weight, std::int64_t row, const float* const (&x)[kRows],
                              float (&sums)[kRows]) {
  constexpr int kValues = kChunkValues<kEncoding>;
  const std::byte* const begin = weight.values + row * weight.row_bytes;
  const bool aligned = weight.n_cols % 4 == 0;
  for (int chunk = lane(); chunk * kValues < weight.n_cols; chunk += kWarpSize) {
    float w[kValues];
    unpack<kEncoding>(load_chunk(begin + std::int64_t{chunk} * 16), w);
    float scale = 1.0F;
    if constexpr (kEncoding == WeightEncoding::kInt4Group32) scale = group_scale(weight, row, chunk);
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      float values[kValues];
      load_activations<kValues>(x[m], chunk * kValues, weight.n_cols, aligned, values);
      float sum = 0.0F;
      SS_UNROLL
      for (int i = 0; i < kValues; ++i) sum += w[i] * values[i];
      sums[m] += scale * sum;
    }
  }
}

/// The same of int8 activations, exactly.
template <int kRows>
SS_DEVICE void accumulate_int8_dot(const WeightView& weight, std::int64_t row, const std::int8_t* const (&x)[kRows],
                                   int (&sums)[kRows]) {
  const std::byte* const begin = weight.values + row * weight.row_bytes;
  for (int chunk = lane(); chunk * 16 < weight.n_cols; chunk += kWarpSize) {
    const Chunk w = load_chunk(begin + std::int64_t{chunk} * 16);
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      const Chunk values = load_chunk(x[m] + chunk * 16);
      SS_UNROLL
      for (int i = 0; i < 4; ++i) sums[m] = dot4(w.word[i], values.word[i], sums[m]);
    }
  }
}

/// The whole dot products, scales included, the same in every lane.
template <WeightEncoding kEncoding, int kRows>
SS_DEVICE void dot_rows(const WeightView& weight, std::int64_t row, const float* const (&x)[kRows],
                        float (&sums)[kRows]) {
  SS_UNROLL
  for (int m = 0; m < kRows; ++m) sums[m] = 0.0F;
  accumulate_dot<kEncoding, kRows>(weight, row, x, sums);
  const float scale = kEncoding == WeightEncoding::kInt8PerRow ? weight.row_scales[row] : 1.0F;
  SS_UNROLL
  for (int m = 0; m < kRows; ++m) sums[m] = scale * sum_lanes(sums[m]);
}

/// The same of quantized activations, which have a scale a row.
template <int kRows>
SS_DEVICE void dot_quantized_rows(const WeightView& weight, std::int64_t row, const std::int8_t* const (&x)[kRows],
                                  const float (&x_scales)[kRows], float (&sums)[kRows]) {
  int exact[kRows] = {};
  accumulate_int8_dot<kRows>(weight, row, x, exact);
  SS_UNROLL
  for (int m = 0; m < kRows; ++m) {
    sums[m] = static_cast<float>(sum_lanes(exact[m])) * (x_scales[m] * weight.row_scales[row]);
  }
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
