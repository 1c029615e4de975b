#pragma once
// Dot products of a few weight rows with a few rows of activations, computed by one warp: of routers and of the matrices of heads.
// matvec_steps.h has those where decode spends its time.
//
//   sums[o][m] = sum_k weight[rows[o], k] * x[m, k]
//
// Shapes       x: [*, n_cols]; weight: [N, padded_cols]
// Dtypes       x: f32; weight: any encoding
// Accumulator  f32 per lane, then a shuffle reduction
// Alignment    weight rows to 16 bytes
// Source       own
//
// Every lane loads 16 bytes of a weight row at a time, so a warp reads 512 (1024) neighbouring bytes at once, and each
// byte of the weight is read once for all rows of x.

#include "gpu/kernels/weight_code.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

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
      constexpr int kSpan = kSpanValues<kEncoding>;
      float whole = 0.0F;
      SS_UNROLL
      for (int span = 0; span < kValues / kSpan; ++span) {
        float sum = 0.0F;
        SS_UNROLL
        for (int i = span * kSpan; i < (span + 1) * kSpan; ++i) sum += w[i] * x[i];
        whole += group.scaled(sum, span);
      }
      return whole;
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
/// weight rows are in flight together, and x is read once for them.
template <WeightEncoding kEncoding, int kOutputs, int kRows>
SS_DEVICE void accumulate_dots(const WeightView& weight, const std::int64_t (&rows)[kOutputs],
                               const float* const (&x)[kRows], float (&sums)[kOutputs][kRows]) {
  constexpr int kValues = kChunkValues<kEncoding>;
  const bool aligned = weight.n_cols % 4 == 0;
  for (int chunk = lane(); chunk * kValues < weight.n_cols; chunk += kWarpSize) {
    StoredVec<kEncoding> vecs[kOutputs];
    SS_UNROLL
    for (int o = 0; o < kOutputs; ++o) vecs[o].load(weight, rows[o], chunk);
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      float values[kValues];
      load_activations<kValues>(x[m], chunk * kValues, weight.n_cols, aligned, values);
      SS_UNROLL
      for (int o = 0; o < kOutputs; ++o) sums[o][m] += vecs[o].dot(weight, values);
    }
  }
}

/// The complete dot products, all scales of the weight included, in every lane.
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
    const float scale = kHasRowScales<kEncoding> ? weight.row_scales[rows[o]] : 1.0F;
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) sums[o][m] = scale * sum_lanes(sums[o][m]);
  }
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
