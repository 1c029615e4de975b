#pragma once
// When a kernel begins and when it may touch what earlier kernels wrote.
//
// The kernels of a stream run one after the other. On NVIDIA from sm_90 on, with the option dependent_launch, the blocks of a kernel may
// take their places on the processors while the kernel before it still runs ("programmatic dependent launch", CUDA C++ Programming
// Guide): they read their arguments, request what no kernel ever writes, such as weights, and wait. So a kernel's launch and its first
// loads overlap the end of the kernel before.
//
//   request(weights);              // Optional: loads of data that no kernel writes.
//   wait_for_earlier_kernels();    // Every thread calls it once.
//   ...                            // Every other read and every write comes after the wait.
//
// A thread must not end before it has waited. If all blocks of kernel B ended without waiting for kernel A, B would count as complete, and
// the kernel after B could run at the same time as A. The shim reports a thread that ends without waiting, and tests/codegen checks which
// accesses to memory precede the wait in the machine code.

#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// Whether the blocks of a kernel may begin while the kernel before it still runs.
#if (defined(SS_GPU_SHIM) && defined(SS_GPU_WARPGROUPS)) || \
    (defined(SS_GPU_CUDA) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900)
inline constexpr bool kKernelsMayOverlap = true;
#else
inline constexpr bool kKernelsMayOverlap = false;
#endif

/// Waits until all earlier kernels of the stream have ended and what they wrote is visible, and lets the blocks of the next one begin. Does
/// nothing where kernels run one after the other anyway.
SS_DEVICE void wait_for_earlier_kernels() {
#if defined(SS_GPU_SHIM)
  shim::wait_for_earlier_kernels();
#elif defined(SS_GPU_CUDA) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;\ngriddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
