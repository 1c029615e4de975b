#pragma once
// The places of activations in shared memory, so that neither storing nor reading them has bank conflicts.
//
// A lane multiplies kVecs 16-byte vectors of a row of x with 16 bytes of a weight: 2, 4 or 8 vectors of f32 with BF16, int8
// or int4 values. The lanes' vectors follow each other in x, so that lanes that read their first vectors would be 32, 64 or
// 128 bytes apart, and two, four or eight of them would meet in a bank. Here the first vectors of all lanes lie side by
// side, then the second ones, and so on. Threads that store neighbouring vectors of x would meet in one bank then: each of
// the kVecs rows begins at another bank by an exclusive or.

#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// Index of vector `vec` of lane `own_lane`, in 16-byte vectors from the beginning of the n_lanes * kVecs of a warp.
template <int kVecs>
SS_DEVICE int activation_place(int vec, int own_lane, int n_lanes) {
  static_assert(kVecs == 1 || kVecs == 2 || kVecs == 4 || kVecs == 8);  // eight vectors are all 32 banks
  return vec * n_lanes + (own_lane ^ vec * (8 / kVecs) % 8);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
