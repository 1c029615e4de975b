#pragma once
// Dot products of a few weight rows with a few rows of activations, computed by one warp: where decode spends its time.
//
//   sums[o][m] = sum_k weight[rows[o], k] * x[m, k]
//
// Shapes       x: [*, n_cols] f32, or [*, padded_cols] int8 or BF16; weight: [N, padded_cols]
// Dtypes       x: f32, or with one f32 scale per row int8, or E4M3 numbers as BF16; weight: any encoding
// Accumulator  f32 per lane, then a shuffle reduction; int8 by int8 in int32, per row or, with group scales, per 16
//              columns and then f32
// Alignment    weight rows, int8 and BF16 x to 16 bytes
// Source       own; dp4a on NVIDIA
//
// Every lane loads 16 bytes of a weight row at a time, so a warp reads 512 (1024) neighbouring bytes at once, and each
// byte of the weight is read once for all rows of x.

#include "gpu/kernels/weight_code.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// c + a . b, where a and b hold four int8 values each.
SS_DEVICE int dot4(std::uint32_t a, std::uint32_t b, int c) {
#if defined(__CUDA_ARCH__)
  return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
#else
  SS_UNROLL
  for (int i = 0; i < 4; ++i) c += static_cast<std::int8_t>(a >> (8 * i)) * static_cast<std::int8_t>(b >> (8 * i));
  return c;
#endif
}

/// Loads kValues values of x from column `col` on, zeros past n_cols. `aligned`: rows of x begin at multiples of 16
/// bytes.
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

/// The same of x in BF16, whose rows begin at multiples of 16 bytes and have zeros from n_cols to their padded end.
template <int kValues>
SS_DEVICE void load_activations(const Bf16* x, int col, int, bool, float* values) {
  static_assert(kValues % 8 == 0);
  SS_UNROLL
  for (int i = 0; i < kValues; i += 8) unpack<WeightEncoding::kBf16>(load_chunk(x + col + i), values + i);
}

/// A vector of a row of the weight, as it is stored: what a lane loads and multiplies at a time.
template <WeightEncoding kEncoding>
struct StoredVec {
  Chunk chunk;
  GroupOf<kEncoding> group;

  SS_DEVICE void load(const WeightView& weight, std::int64_t row, int index) {
    chunk = load_codes<kEncoding>(weight, row, index);
    group.load(weight, row, index * kChunkValues<kEncoding>);
  }
  /// The dot product with x, with the scales of groups.
  [[nodiscard]] SS_DEVICE float dot(const WeightView&, const float (&x)[kChunkValues<kEncoding>]) const {
    constexpr int kValues = kChunkValues<kEncoding>;
    if constexpr (kIsBlocks<kEncoding>) {
      float whole = 0.0F;
      SS_UNROLL
      for (int eight = 0; eight < kValues / 8; ++eight) {
        float w[8];
        unpack_block_part<kEncoding, 8>(chunk.word, group.high, eight, w);
        float sum = 0.0F;
        float x_sum = 0.0F;
        SS_UNROLL
        for (int i = 0; i < 8; ++i) {
          sum += w[i] * x[8 * eight + i];
          x_sum += x[8 * eight + i];
        }
        group.add_scaled(sum, x_sum, eight * 8 >> KnownCodes<kEncoding>::part_cols_log2, whole);
      }
      return whole;
    } else {
      float w[kValues];
      unpack<kEncoding>(chunk, w, group.addends());
      float sum = 0.0F;
      SS_UNROLL
      for (int i = 0; i < kValues; ++i) sum += w[i] * x[i];
      return group.scaled(sum);
    }
  }
};

/// The same for all encodings in blocks, whose form is read from the weight.
template <>
struct StoredVec<kAnyBlocks> {
  BlockVec vec;
  int index;

  SS_DEVICE void load(const WeightView& weight, std::int64_t row, int of_row) {
    index = of_row;
    vec.load(weight, row, index);
  }
  [[nodiscard]] SS_DEVICE float dot(const WeightView& weight, const float (&x)[8]) const {
    float w[8];
    vec.unpack(weight.blocks, index, w);
    float sum = 0.0F;
    SS_UNROLL
    for (int i = 0; i < 8; ++i) sum += w[i] * x[i];
    return sum;
  }
};

/// sums[o][m] += this lane's share of weight[rows[o]] . x[m], with group scales but without row scales. The loads of all
/// weight rows are in flight together, and x is read once for them. `x_scales`: where groups of kFp8Group128 have scales in x, too,
/// those of x[0], the only row then; else null.
template <WeightEncoding kEncoding, int kOutputs, int kRows, typename X>
SS_DEVICE void accumulate_dots(const WeightView& weight, const std::int64_t (&rows)[kOutputs],
                               const X* const (&x)[kRows], [[maybe_unused]] const float* x_scales,
                               float (&sums)[kOutputs][kRows]) {
  constexpr int kValues = kChunkValues<kEncoding>;
  const bool aligned = weight.n_cols % 4 == 0;
  for (int chunk = lane(); chunk * kValues < weight.n_cols; chunk += kWarpSize) {
    StoredVec<kEncoding> vecs[kOutputs];
    SS_UNROLL
    for (int o = 0; o < kOutputs; ++o) vecs[o].load(weight, rows[o], chunk);
    float x_scale = 1.0F;
    if constexpr (kHasWideGroups<kEncoding>) {
      static_assert(kRows == 1);
      if (x_scales != nullptr) x_scale = x_scales[chunk * kValues / static_cast<int>(kFp8GroupSize)];
    }
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      float values[kValues];
      load_activations<kValues>(x[m], chunk * kValues, weight.n_cols, aligned, values);
      SS_UNROLL
      for (int o = 0; o < kOutputs; ++o) sums[o][m] += x_scale * vecs[o].dot(weight, values);
    }
  }
}

/// The same for int8 activations. Sums are exact in int32 over the whole row or, with group scales, over one chunk of 16
/// columns, which is half a group.
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

/// The complete dot products, all scales of the weight and those of accumulate_dots() for x included, in every lane.
template <WeightEncoding kEncoding, int kOutputs, int kRows, typename X>
SS_DEVICE void dot_rows(const WeightView& weight, const std::int64_t (&rows)[kOutputs], const X* const (&x)[kRows],
                        float (&sums)[kOutputs][kRows], const float* x_scales = nullptr) {
  SS_UNROLL
  for (int o = 0; o < kOutputs; ++o) {
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) sums[o][m] = 0.0F;
  }
  accumulate_dots<kEncoding, kOutputs, kRows>(weight, rows, x, x_scales, sums);
  SS_UNROLL
  for (int o = 0; o < kOutputs; ++o) {
    const float scale = kHasRowScales<kEncoding> ? weight.row_scales[rows[o]] : 1.0F;
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) sums[o][m] = scale * sum_lanes(sums[o][m]);
  }
}

/// The same for int8 activations, which have one scale per row.
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
