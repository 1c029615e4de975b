#pragma once
// Limits the registers of a kernel, so that a processor can hold a given number of its blocks at the same time.

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
