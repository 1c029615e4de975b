#pragma once
// Shares of the cache of a decode step (kernels.h's DecodeSplit): which positions are a share's, and how the sums of all shares
// of a sequence become a result.
//
//   split s:  m_s = max_j score_j,  d_s = sum_j 2^(score_j - m_s),  o_s = sum_j 2^(score_j - m_s) v_j
//   combine:  m = max_s m_s,  out = sum_s 2^(m_s - m) o_s / (2^(sink - m) + sum_s 2^(m_s - m) d_s), without sinks 0 in the
//             place of 2^(sink - m)
//
// Source: Flash-Decoding (Dao, Haziza, Massa, Sizov, 2023). Scores are in powers of 2: log2(e) times those of op.h's Attention.

#include "gpu/kernels/divide.h"
#include "gpu/kernels/kernels.h"
#include "gpu/kernels/softmax_state.h"
#include "gpu/portable/fast_math.h"
#include "gpu/portable/storage.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

inline constexpr int kPartsAtOnce = 8;  ///< splits whose sums are loaded together by a lane that combines them
static_assert(kMaxDecodeSplits % kPartsAtOnce == 0);

/// Four values of f32, one 16-byte access.
struct alignas(16) Quad {
  float value[4];
};

/// The positions that a token sees, and those of them that are one split.
struct Span {
  int seen;     ///< the first position that is seen
  int visible;  ///< the number of positions that are seen
  int step;     ///< positions of a split
  int begin;
  int end;
};

/// Splits begin at multiples of `multiple` positions from the first one that is seen.
SS_DEVICE Span span_of(const DecodeSplit& split, int window, int multiple = kDecodeSplitStep) {
  Span span{};
  const int n_positions = split.position + 1;
  span.visible = window > 0 && window < n_positions ? window : n_positions;
  span.seen = n_positions - span.visible;
  const int step = divide(span.visible + split.n_splits - 1, split.by_splits);
  span.step = (step + multiple - 1) / multiple * multiple;
  span.begin = span.seen + split.index * span.step;
  span.end = span.begin + span.step < n_positions ? span.begin + span.step : n_positions;
  return span;
}

/// 2^(m - row_max), the weight of a part of the positions; 1 if all scores are -inf: its sums are then 0, or NaN, which must
/// propagate.
SS_DEVICE float weight_of_part(float m, float row_max) {
  return m == kNegInf ? 1.0F : fast_exp2(m - row_max);
}

/// 2^(sink - m), what a head's sink adds to the sum of exponentials; 0 without sinks.
SS_DEVICE float weight_of_sink_in_base_2(const AttentionArguments& a, int head, float m) {
  return a.sinks == nullptr ? 0.0F : fast_exp2(kLog2E * a.sinks[head] - SoftmaxState::shift(m));
}

/// Dimensions [begin, end) of a head's values, multiples of 4.
struct DimRange {
  int begin;
  int end;
};

/// Adds up the splits of one head, whose first is `first_split`, by one warp. `weights`: shared memory of its own for
/// kMaxDecodeSplits numbers.
SS_DEVICE void combine_splits(const AttentionArguments& a, const DecodeSplit& split, const Span& span, int first_split,
                              int head, const DimRange& dims, float* weights) {
  const auto softmax_of = [&](int s) {
    return a.partial_softmax + (std::int64_t{first_split + s} * a.n_heads + head) * 2;
  };
  const auto has_positions = [&](int s) { return s < split.n_splits && s * span.step < span.visible; };
  float row_max = kNegInf;
  for (int s = lane(); has_positions(s); s += kWarpSize) row_max = larger(softmax_of(s)[0], row_max);
  row_max = max_lanes(row_max);
  float total = 0.0F;
  int n = 0;  // splits with positions
  // The weights are filled up with zeros to a multiple of kPartsAtOnce, which kMaxDecodeSplits is.
  for (int s = lane(); s < kMaxDecodeSplits; s += kWarpSize) {
    float weight = 0.0F;
    if (has_positions(s)) {
      weight = weight_of_part(softmax_of(s)[0], row_max);
      total += weight * softmax_of(s)[1];
      ++n;
    }
    weights[s] = weight;
  }
  total = sum_lanes(total) + weight_of_sink_in_base_2(a, head, row_max);
  n = sum_lanes(n);
  sync_warp();  // the weights are stored
  for (int dim = dims.begin + lane() * 4; dim < dims.end; dim += kWarpSize * 4) {
    float sum[4] = {};
    for (int first = 0; first < n; first += kPartsAtOnce) {
      Quad part[kPartsAtOnce];
      SS_UNROLL
      for (int i = 0; i < kPartsAtOnce; ++i) {
        const int s = first + i < n ? first + i : n - 1;
        part[i] = load_words<Quad>(a.partial + (std::int64_t{first_split + s} * a.n_heads + head) * a.value_dim + dim);
      }
      SS_UNROLL
      for (int i = 0; i < kPartsAtOnce; ++i) {
        SS_UNROLL
        for (int d = 0; d < 4; ++d) sum[d] += weights[first + i] * part[i].value[d];
      }
    }
    float* const out = a.out + (std::int64_t{split.token} * a.n_heads + head) * a.value_dim + dim;
    store_chunk(out, bits_as<Chunk>(Quad{{sum[0] / total, sum[1] / total, sum[2] / total, sum[3] / total}}));
  }
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
