#pragma once
// Finds the last of several blocks to finish their shares of a result, which then combines them: no second kernel, and no
// block waits for another.
//
//   store(own share);                                             // in device memory, by any threads of the block
//   if (!is_last_block(counter, n_blocks, shared.flag)) return;   // all threads together
//   combine(all shares);                                          // what the others stored is visible
//
// A block that still holds its own share may test first whether it is the only one left, and then combines without storing it:
//
//   if (!is_only_block_left(counter, n_blocks, shared.flag)) {
//     store(own share);
//     if (!is_last_block(counter, n_blocks, shared.flag)) return;
//   }
//   combine(own share, those of the others);
//
// The counter is 0 before the first block arrives and after the last one has left. The pattern is that of the CUDA C++ Programming
// Guide, section "Memory Fence Functions". On AMD the fences have the scope "agent", which is the whole device (LLVM's User
// Guide for AMDGPU, section "Memory Model"). The shim runs blocks on threads of the CPU, where the atomic operation alone orders their
// accesses, so that a missing fence has no effect there; tests/codegen looks for the fences in the machine code.

#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// Orders this thread's accesses to device memory before and after it, for all blocks of the device.
SS_DEVICE void fence_device() {
#if defined(SS_GPU_CUDA)
  __threadfence();
#elif defined(SS_GPU_HIP)
  __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "agent");
#endif
}

/// True, in every thread of the block, if all other of `n_blocks` blocks have called this with the same counter. `flag` is
/// in shared memory; it may not be accessed otherwise between the block's first and last call.
SS_DEVICE bool is_last_block(std::uint32_t* counter, int n_blocks, int& flag) {
  fence_device();
  sync_block();
  if (thread_x() == 0) {
#if defined(SS_GPU_SHIM)
    const std::uint32_t n_before = __atomic_fetch_add(counter, 1U, __ATOMIC_ACQ_REL);
#else
    const std::uint32_t n_before = atomicAdd(counter, 1U);
#endif
    const bool is_last = n_before + 1 == static_cast<std::uint32_t>(n_blocks);
    if (is_last) *counter = 0;  // for the next launch
    flag = is_last ? 1 : 0;
  }
  sync_block();
  if (flag == 0) return false;
  fence_device();
  return true;
}

/// True, in every thread of the block, if all other of `n_blocks` blocks have called is_last_block() with the same counter. The counter is
/// 0 again then, and this block must not call is_last_block(). A barrier of the block comes between two calls with the same flag.
SS_DEVICE bool is_only_block_left(std::uint32_t* counter, int n_blocks, int& flag) {
  if (thread_x() == 0) {
#if defined(SS_GPU_SHIM)
    const std::uint32_t n_arrived = __atomic_load_n(counter, __ATOMIC_ACQUIRE);
#else
    const std::uint32_t n_arrived = atomicAdd(counter, 0U);
#endif
    const bool is_only = n_arrived == static_cast<std::uint32_t>(n_blocks - 1);
    if (is_only) *counter = 0;
    flag = is_only ? 1 : 0;
  }
  sync_block();
  if (flag == 0) return false;
  fence_device();
  return true;
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
