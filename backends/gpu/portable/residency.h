#pragma once
// Limits the registers of a kernel, so that a processor can hold a given number of its blocks at the same time, and divides a block's
// registers among its warpgroups.

#include "gpu/portable/target.h"

// SS_KERNEL_RESIDENT(warps, blocks) declares a kernel with blocks of `warps` warps, of which a multiprocessor of NVIDIA holds at
// least `blocks`. Without that number ptxas uses as many registers as it finds useful. AMD's compiler chooses by
// itself: it is told an upper bound on the threads of a block, with 64 threads for each warp, as gfx9 has them (gfx11 has 32).
#if defined(SS_GPU_CUDA)
#define SS_KERNEL_RESIDENT(warps, blocks) __global__ __launch_bounds__((warps)*32, blocks) void
#elif defined(SS_GPU_HIP)
#define SS_KERNEL_RESIDENT(warps, blocks) __global__ __launch_bounds__((warps)*64, 1) void
#else
#define SS_KERNEL_RESIDENT(warps, blocks) void
#endif

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// The registers that each thread of a block begins with, if the block has so many warps of 32 and takes all registers of a multiprocessor
/// of NVIDIA.
constexpr int registers_at_launch(int n_warps) {
  constexpr int kRegisters = 65536;
  return kRegisters / (32 * n_warps) / 8 * 8;
}

/// Changes the registers of each thread of a warpgroup, all of whose warps call it: setmaxnreg. Threads that only copy give theirs up, and
/// those that multiply take them. The number is a multiple of 8 from 24 to 240. A warpgroup that asks for more than is left of what the
/// block began with waits until others have given up as many, possibly for ever. Only on sm_90a.
template <int kRegisters>
SS_DEVICE void give_up_registers_but() {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 240);
#if defined(SS_GPU_WARPGROUPS) && !defined(SS_GPU_SHIM)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}
template <int kRegisters>
SS_DEVICE void take_registers_up_to() {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 240);
#if defined(SS_GPU_WARPGROUPS) && !defined(SS_GPU_SHIM)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
