#pragma once
// Dot products of a few weight rows with a few rows of activations by a warp: what decode spends its time on. Every
// lane takes 16 bytes of the row at a time, so that a warp reads neighbouring 512 (1024) bytes at once, and each byte
// of the weight once for all rows of x.

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

/// sums[o][m] += this lane's share of weight[rows[o]] . x[m]; the rows' scales are left out, groups' scales are not.
/// The loads of all rows are under way at once, and x is read once for them.
template <WeightEncoding kEncoding, int kOutputs, int kRows>
SS_DEVICE void accumulate_dots(const WeightView& weight, const std::int64_t (&rows)[kOutputs],
                               const float* const (&x)[kRows], float (&sums)[kOutputs][kRows]) {
  constexpr int kValues = kChunkValues<kEncoding>;
  const bool aligned = weight.n_cols % 4 == 0;
  for (int chunk = lane(); chunk * kValues < weight.n_cols; chunk += kWarpSize) {
    Chunk chunks[kOutputs];
    float scales[kOutputs];
    SS_UNROLL
    for (int o = 0; o < kOutputs; ++o) {
      chunks[o] = load_chunk(weight.values + rows[o] * weight.row_bytes + std::int64_t{chunk} * 16);
      scales[o] = 1.0F;
      if constexpr (kHasGroups<kEncoding>) scales[o] = group_scale(weight, rows[o], chunk * kValues);
    }
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      float values[kValues];
      load_activations<kValues>(x[m], chunk * kValues, weight.n_cols, aligned, values);
      SS_UNROLL
      for (int o = 0; o < kOutputs; ++o) {
        float w[kValues];
        unpack<kEncoding>(chunks[o], w);
        float sum = 0.0F;
        SS_UNROLL
        for (int i = 0; i < kValues; ++i) sum += w[i] * values[i];
        sums[o][m] += scales[o] * sum;
      }
    }
  }
}

/// The same of int8 activations. Whole numbers are summed exactly: all of them, or with scales of groups those of a
/// chunk, which is half a group.
template <WeightEncoding kEncoding, int kOutputs, int kRows>
SS_DEVICE void accumulate_int8_dots(const WeightView& weight, const std::int64_t (&rows)[kOutputs],
                                    const std::int8_t* const (&x)[kRows],
                                    QuantizedSum<kEncoding> (&sums)[kOutputs][kRows]) {
  constexpr int kValues = kChunkValues<kEncoding>;
  for (int chunk = lane(); chunk * kValues < weight.n_cols; chunk += kWarpSize) {
    Chunk chunks[kOutputs];
    [[maybe_unused]] float scales[kOutputs];
    SS_UNROLL
    for (int o = 0; o < kOutputs; ++o) {
      chunks[o] = load_chunk(weight.values + rows[o] * weight.row_bytes + std::int64_t{chunk} * 16);
      if constexpr (kHasGroups<kEncoding>) scales[o] = group_scale(weight, rows[o], chunk * kValues);
    }
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      const Chunk values = load_chunk(x[m] + chunk * kValues);
      SS_UNROLL
      for (int o = 0; o < kOutputs; ++o) {
        int sum = 0;
        SS_UNROLL
        for (int i = 0; i < 4; ++i) sum = dot4(chunks[o].word[i], values.word[i], sum);
        if constexpr (kHasGroups<kEncoding>) {
          sums[o][m] += scales[o] * static_cast<float>(sum);
        } else {
          sums[o][m] += sum;
        }
      }
    }
  }
}

/// The whole dot products, scales included, the same in every lane.
template <WeightEncoding kEncoding, int kOutputs, int kRows>
SS_DEVICE void dot_rows(const WeightView& weight, const std::int64_t (&rows)[kOutputs], const float* const (&x)[kRows],
                        float (&sums)[kOutputs][kRows]) {
  SS_UNROLL
  for (int o = 0; o < kOutputs; ++o) {
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) sums[o][m] = 0.0F;
  }
  accumulate_dots<kEncoding, kOutputs, kRows>(weight, rows, x, sums);
  SS_UNROLL
  for (int o = 0; o < kOutputs; ++o) {
    const float scale = kEncoding == WeightEncoding::kInt8PerRow ? weight.row_scales[rows[o]] : 1.0F;
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) sums[o][m] = scale * sum_lanes(sums[o][m]);
  }
}

/// The same of quantized activations, which have a scale a row.
template <WeightEncoding kEncoding, int kOutputs, int kRows>
SS_DEVICE void dot_quantized_rows(const WeightView& weight, const std::int64_t (&rows)[kOutputs],
                                  const std::int8_t* const (&x)[kRows], const float (&x_scales)[kRows],
                                  float (&sums)[kOutputs][kRows]) {
  QuantizedSum<kEncoding> unscaled[kOutputs][kRows] = {};
  accumulate_int8_dots<kEncoding, kOutputs, kRows>(weight, rows, x, unscaled);
  SS_UNROLL
  for (int o = 0; o < kOutputs; ++o) {
    const float scale = kHasGroups<kEncoding> ? 1.0F : weight.row_scales[rows[o]];
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      sums[o][m] = static_cast<float>(sum_lanes(unscaled[o][m])) * (x_scales[m] * scale);
    }
  }
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
