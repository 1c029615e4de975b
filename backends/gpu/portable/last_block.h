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

/// Adds `n_arriving` (0 or 1) to the count of blocks that have arrived. True, in every thread of the block, if all other of `n_blocks`
/// blocks have arrived: the counter is 0 again then, and what they stored before is visible.
SS_DEVICE bool all_others_have_arrived(std::uint32_t* counter, std::uint32_t n_arriving, int n_blocks, int& flag) {
  if (thread_x() == 0) {
#if defined(SS_GPU_SHIM)
    const std::uint32_t n_before = __atomic_fetch_add(counter, n_arriving, __ATOMIC_ACQ_REL);
#else
    const std::uint32_t n_before = atomicAdd(counter, n_arriving);
#endif
    const bool are_all = n_before + 1 == static_cast<std::uint32_t>(n_blocks);
    if (are_all) *counter = 0;  // for the next launch
    flag = are_all ? 1 : 0;
  }
  sync_block();
  if (flag == 0) return false;
  fence_device();
  return true;
}

/// True, in every thread of the block, if all other of `n_blocks` blocks have called this with the same counter. `flag` is
/// in shared memory; it may not be accessed otherwise between the block's first and last call.
SS_DEVICE bool is_last_block(std::uint32_t* counter, int n_blocks, int& flag) {
  fence_device();
  sync_block();
  return all_others_have_arrived(counter, 1, n_blocks, flag);
}

/// True, in every thread of the block, if all other of `n_blocks` blocks have called is_last_block() with the same counter. The counter is
/// 0 again then, and this block must not call is_last_block(). A barrier of the block comes between two calls with the same flag.
SS_DEVICE bool is_only_block_left(std::uint32_t* counter, int n_blocks, int& flag) {
  return all_others_have_arrived(counter, 0, n_blocks, flag);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
