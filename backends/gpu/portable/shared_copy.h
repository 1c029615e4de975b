#pragma once
// Asynchronous copies from global to shared memory: cp.async on NVIDIA; a load and a store on AMD, which has no such
// instruction for 16 bytes; in the shim a copy that takes effect at the wait and not earlier.
//
//   copy_to_shared(to, from, in_range);   // any number of 16-byte copies
//   commit_copies();                      // closes a copy group
//   wait_for_copies<1>();                 // at most one of this thread's groups is still pending
//   sync_block();                         // the copies of all threads have arrived

#include "gpu/portable/storage.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// True if copy_to_shared() is asynchronous.
#if defined(SS_GPU_TILE_MMA)
inline constexpr bool kHasAsyncCopies = true;
#else
inline constexpr bool kHasAsyncCopies = false;
#endif

/// Copies 16 bytes; both addresses are multiples of 16. If not `in_range`, writes zeros and does not read `from`.
SS_DEVICE void copy_to_shared(void* to, const void* from, bool in_range) {
#if defined(__CUDA_ARCH__)
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
  const int bytes = in_range ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
#elif defined(SS_GPU_SHIM)
  shim::copy_to_shared(to, from, sizeof(Chunk), in_range);
#else
  store_chunk(to, in_range ? load_chunk(from) : Chunk{});
#endif
}

/// Closes the group of this thread's copies since the last call.
SS_DEVICE void commit_copies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#elif defined(SS_GPU_SHIM)
  shim::commit_copies();
#endif
}

/// Waits until at most kPendingGroups of this thread's groups are pending.
template <int kPendingGroups>
SS_DEVICE void wait_for_copies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.wait_group %0;" ::"n"(kPendingGroups) : "memory");
#elif defined(SS_GPU_SHIM)
  shim::wait_for_copies(kPendingGroups);
#endif
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
