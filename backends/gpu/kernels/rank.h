#pragma once
// A rank packs a number and its index into one integer, so that the candidate to choose is the one with the largest rank: the one with
// the largest number, and of equal numbers the one with the lowest index. Sampling ranks the logits of tokens, routers the merits of
// experts.

#include "gpu/portable/storage.h"
#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// 0 stands for no candidate. Every number that is not NaN has a larger rank.
using Rank = unsigned long long;

/// Order-preserving key: larger numbers have larger unsigned keys; -0 and 0 have the same.
SS_DEVICE std::uint32_t key_of(float number) {
  const auto bits = bits_as<std::uint32_t>(number + 0.0F);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/// The number of a key.
SS_DEVICE float number_of(std::uint32_t key) {
  return bits_as<float>((key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key);
}

SS_DEVICE Rank rank_of(float number, int index) {
  return static_cast<Rank>(key_of(number)) << 32 | static_cast<Rank>(~static_cast<std::uint32_t>(index));
}
SS_DEVICE int index_of_rank(Rank rank) {
  return static_cast<int>(~static_cast<std::uint32_t>(rank));
}

SS_DEVICE Rank max_rank(Rank a, Rank b) {
  return a > b ? a : b;
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
