#pragma once
// Copies from global to shared memory that go on while the thread computes: cp.async on NVIDIA; on AMD, which has no
// such instruction for 16 bytes, a load and a store; in the shim a copy that lands at the wait and not before.
//
//   copy_to_shared(to, from, in_range);   // any number of 16-byte pieces
//   commit_copies();                      // these are one group
//   wait_for_copies<1>();                 // all of this thread's groups but the latest one have landed
//   sync_block();                         // and now everybody's

#include "gpu/portable/storage.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// Whether copy_to_shared() goes on while the thread computes.
#if defined(SS_GPU_TILE_MMA)
inline constexpr bool kHasAsyncCopies = true;
#else
inline constexpr bool kHasAsyncCopies = false;
#endif

/// 16 bytes, both addresses multiples of 16. When not `in_range`, zeros are written and `from` is not read.
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

SS_DEVICE void commit_copies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#elif defined(SS_GPU_SHIM)
  shim::commit_copies();
#endif
}

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
