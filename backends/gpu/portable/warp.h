#pragma once
// Shuffles and reductions over a warp or a block. Every lane of the warp takes part in each call.

#include <type_traits>

#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// The value of lane (own lane ^ mask). T: a number of 32 or 64 bits.
template <typename T>
SS_DEVICE T shuffle_xor(T value, int mask) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
#if defined(SS_GPU_CUDA)
  return __shfl_xor_sync(0xffffffffU, value, mask);
#elif defined(SS_GPU_HIP)
  return __shfl_xor(value, mask);
#else
  return shim::shuffle_xor(value, mask, kWarpSize);
#endif
}

/// Makes the shared-memory writes of the warp's lanes visible to each other.
#if defined(SS_GPU_SHIM)
SS_DEVICE void sync_warp() {
  shim::sync_warp(kWarpSize);
}
#elif defined(SS_GPU_CUDA)
SS_DEVICE void sync_warp() {
  __syncwarp();
}
#else
SS_DEVICE void sync_warp() {
  __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
  __builtin_amdgcn_wave_barrier();
}
#endif

SS_DEVICE float larger(float a, float b) {
  return a > b ? a : b;
}

/// Sum or maximum over groups of `width` neighbouring lanes, a power of two. Every lane gets the result.
SS_DEVICE float sum_lanes(float value, int width = kWarpSize) {
  for (int mask = width / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}
SS_DEVICE int sum_lanes(int value, int width = kWarpSize) {
  for (int mask = width / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}
SS_DEVICE float max_lanes(float value, int width = kWarpSize) {
  for (int mask = width / 2; mask > 0; mask /= 2) value = larger(value, shuffle_xor(value, mask));
  return value;
}

/// True in every lane if `mine` is true in any lane of the warp.
SS_DEVICE bool any_lane(bool mine) {
#if defined(SS_GPU_CUDA)
  return __any_sync(0xffffffffU, mine) != 0;
#elif defined(SS_GPU_HIP)
  return __any(mine ? 1 : 0) != 0;
#else
  return sum_lanes(mine ? 1 : 0) != 0;
#endif
}

/// Atomic addition to a number in shared or device memory; returns the number before it.
template <typename T>
SS_DEVICE T fetch_add(T* number, std::type_identity_t<T> value) {
#if defined(SS_GPU_SHIM)
  return __atomic_fetch_add(number, value, __ATOMIC_RELAXED);
#else
  return atomicAdd(number, value);
#endif
}

/// Atomic addition to a number in shared memory.
template <typename T>
SS_DEVICE void add_shared(T* number, std::type_identity_t<T> value) {
  (void)fetch_add(number, value);
}

/// A 64-bit sum in shared memory to which threads add by two atomic additions of 32 bits, which every GPU has. On NVIDIA GPUs an
/// atomic addition of 64 bits to shared memory is a compare-and-swap loop.
struct WideSum {
  std::uint32_t low;
  std::uint32_t high;
  [[nodiscard]] SS_DEVICE unsigned long long value() const { return static_cast<unsigned long long>(high) << 32 | low; }
};
SS_DEVICE void add_shared(WideSum* sum, unsigned long long value) {
  const auto low = static_cast<std::uint32_t>(value);
  const std::uint32_t before = fetch_add(&sum->low, low);
  // Exactly one addition carries each time that the lower half wraps, in whatever order they come.
  const std::uint32_t carry = before + low < before ? 1U : 0U;
  const std::uint32_t high = static_cast<std::uint32_t>(value >> 32) + carry;
  if (high != 0) add_shared(&sum->high, high);
}

/// Atomic addition to a number in device memory. No thread reads the number before the kernel ends or last_block.h allows it.
template <typename T>
SS_DEVICE void add_device(T* number, std::type_identity_t<T> value) {
  (void)fetch_add(number, value);
}

/// The most warps of a block.
inline constexpr int kMaxWarps = 32;

/// Shared memory for one value per warp.
template <typename T>
struct BlockScratch {
  T of_warp[kMaxWarps];
};

/// Combines one value per thread over the block; every thread gets the result. `combine` must be associative and
/// commutative. The scratch may be reused immediately.
template <typename T, typename Combine>
SS_DEVICE T reduce_block(T value, BlockScratch<T>& scratch, Combine combine) {
  for (int mask = kWarpSize / 2; mask > 0; mask /= 2) value = combine(value, shuffle_xor(value, mask));
  sync_block();
  if (lane() == 0) scratch.of_warp[warp()] = value;
  sync_block();
  T total = scratch.of_warp[0];
  for (int w = 1; w < n_warps(); ++w) total = combine(total, scratch.of_warp[w]);
  return total;
}

/// Exclusive prefix sum over the threads of the block. The scratch may be reused immediately.
template <typename T>
SS_DEVICE T exclusive_sum(T value, BlockScratch<T>& scratch) {
  T before = 0;
  T total = value;  // sum over this lane's group of `mask` lanes, which doubles each time
  for (int mask = 1; mask < kWarpSize; mask *= 2) {
    const T other = shuffle_xor(total, mask);
    if ((lane() & mask) != 0) before += other;
    total += other;
  }
  sync_block();
  if (lane() == 0) scratch.of_warp[warp()] = total;
  sync_block();  // the sum of every warp is stored
  for (int w = 0; w < warp(); ++w) before += scratch.of_warp[w];
  return before;
}

SS_DEVICE float sum_block(float value, BlockScratch<float>& scratch) {
  return reduce_block(value, scratch, [](float a, float b) { return a + b; });
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
