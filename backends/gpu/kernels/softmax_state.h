#pragma once
// State of an online softmax over one row of scores (arXiv:1805.02867, algorithm 3), shared by the attention kernels that
// compute with expf. The output o = sum_j exp(s_j - m) v_j belongs to the same state, but is spread over other threads:
// merge() returns the factor that they multiply it with.

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

  /// Merges a KV tile. `tile_m`: the maximum of this state's and the tile's scores. `tile_d`: the sum over the tile of
  /// exp(s_j - shift(tile_m)). Returns the factor for the outputs so far.
  SS_DEVICE float merge(float tile_m, float tile_d) {
    const float rescale = expf(m - shift(tile_m));
    d = d * rescale + tile_d;
    m = tile_m;
    return rescale;
  }
};

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
