#pragma once
// State of an online softmax over one row of scores (arXiv:1805.02867, algorithm 3), shared by the attention kernels that
// compute with expf. The output o = sum_j exp(s_j - m) v_j belongs to the same state, but is spread over other threads,
// which multiply it by the same factor.
//
//   const float rescale = state.rescale_to(row_max);  // row_max: maximum of state.m and the tile's scores
//   ...                                               // tile_d = sum over the tile of exp(s_j - shift(row_max))
//   state.merge(row_max, rescale, [&] { return tile_d; });  // and o *= rescale

#include <cmath>

#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

inline constexpr float kNegInf = -INFINITY;  ///< score of a masked position

struct SoftmaxState {
  float m = kNegInf;  ///< maximum of the scores so far
  float d = 0.0F;     ///< sum over j of exp(s_j - m)

  /// What is subtracted from scores whose maximum is `m`. If every score so far is -inf, it is 0: then all probabilities
  /// are exp(-inf) = 0 instead of NaN.
  SS_DEVICE static float shift(float m) { return m == kNegInf ? 0.0F : m; }

  /// The factor for older sums and outputs when the maximum becomes `new_m`.
  [[nodiscard]] SS_DEVICE float rescale_to(float new_m) const { return expf(m - shift(new_m)); }

  /// Merges a KV tile whose exponentials, relative to `new_m`, add up to tile_d(). A function and not a number, because a
  /// reduction over lanes as an argument would be computed before d * rescale, and the compilers schedule that differently.
  template <typename TileSum>
  SS_DEVICE void merge(float new_m, float rescale, const TileSum& tile_d) {
    d = d * rescale + tile_d();
    m = new_m;
  }
};

/// What a head's sink adds to the sum of exponentials relative to `m`. One so far above all scores that this is infinite
/// leaves outputs of 0, which is what they would round to. `sinks` may be null.
SS_DEVICE float weight_of_sink(const float* sinks, int head, float m) {
  return sinks == nullptr ? 0.0F : expf(sinks[head] - SoftmaxState::shift(m));
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
