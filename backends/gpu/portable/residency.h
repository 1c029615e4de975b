#pragma once
// Kernels that bound their registers by the number of blocks that a processor is to hold at the same time.

#include "gpu/portable/target.h"

// SS_KERNEL_RESIDENT(warps, blocks): a kernel with blocks of `warps` warps, of which a multiprocessor of NVIDIA holds at
// least `blocks`: without the number ptxas takes as many registers as it has a use for. AMD's compiler chooses by itself.
#if defined(SS_GPU_CUDA)
#define SS_KERNEL_RESIDENT(warps, blocks) __global__ __launch_bounds__((warps)*32, blocks) void
#elif defined(SS_GPU_HIP)
#define SS_KERNEL_RESIDENT(warps, blocks) __global__ __launch_bounds__((warps)*64, 1) void
#else
#define SS_KERNEL_RESIDENT(warps, blocks) void
#endif
