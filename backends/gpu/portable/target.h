#pragma once
// The target of this translation unit, and what differs between CUDA, HIP and the shim: qualifiers, thread indices,
// barriers, shared memory. Kernels include portable/ and no vendor header.
//
//   nvcc -x cu                          SS_GPU_CUDA   warps of 32
//   hipcc, clang++ -x hip               SS_GPU_HIP    waves of 64 (gfx9) or 32 (gfx11)
//   g++ -DSS_GPU_SHIM_TARGET_<target>   SS_GPU_SHIM   on the CPU, as sm_80, sm_90a, gfx90a, gfx942 or gfx1100
//
// Each target has its own namespace, so that one program can contain all targets of the shim.

#include <cstdint>

#if defined(__CUDACC__)
#define SS_GPU_CUDA 1
#define SS_GPU_TARGET cuda_target
#define SS_GPU_TILE_MMA 1
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SS_GPU_WARPGROUPS 1  // wgmma exists on sm_90a only
#endif
#include <cuda_runtime.h>
#elif defined(__HIP__)
#define SS_GPU_HIP 1
#define SS_GPU_TARGET hip_target
#if defined(__gfx1100__) || defined(__gfx1101__) || defined(__gfx1102__) || defined(__gfx1151__)
#define SS_GPU_TILE_WMMA 1
#else
#define SS_GPU_TILE_MFMA 1  // gfx90a and its successors, and the host pass, which needs any one of the two
#if defined(__gfx942__) || defined(__gfx950__)
#define SS_GPU_DEEP_INT8 1  // int8 instructions with a K of 32 instead of 16
#endif
#endif
#include <hip/hip_runtime.h>
#else
#define SS_GPU_SHIM 1
#if defined(SS_GPU_SHIM_TARGET_sm_80)
#define SS_GPU_TARGET shim_sm_80
#define SS_GPU_TILE_MMA 1
#elif defined(SS_GPU_SHIM_TARGET_sm_90a)
#define SS_GPU_TARGET shim_sm_90a
#define SS_GPU_TILE_MMA 1
#define SS_GPU_WARPGROUPS 1
#elif defined(SS_GPU_SHIM_TARGET_gfx90a)
#define SS_GPU_TARGET shim_gfx90a
#define SS_GPU_TILE_MFMA 1
#elif defined(SS_GPU_SHIM_TARGET_gfx942)
#define SS_GPU_TARGET shim_gfx942
#define SS_GPU_TILE_MFMA 1
#define SS_GPU_DEEP_INT8 1
#elif defined(SS_GPU_SHIM_TARGET_gfx1100)
#define SS_GPU_TARGET shim_gfx1100
#define SS_GPU_TILE_WMMA 1
#else
#error "define SS_GPU_SHIM_TARGET_sm_80, _sm_90a, _gfx90a, _gfx942 or _gfx1100"
#endif
#include <cmath>
#include <cstring>
#include <source_location>

#include "gpu/shim/thread.h"
#endif

// Alignment of the block's shared memory. wgmma tiles need 1024 bytes (warpgroup.h).
#if defined(SS_GPU_CUDA)
#define SS_GPU_SHARED_ALIGNMENT 1024
#else
#define SS_GPU_SHARED_ALIGNMENT 16
#endif

// SS_UNROLL: on loops over arrays that must stay in registers.
#if defined(SS_GPU_SHIM)
#define SS_KERNEL(threads) void
#define SS_DEVICE inline
#define SS_UNROLL
#else
#define SS_KERNEL(threads) __global__ __launch_bounds__(threads, 1) void
#define SS_DEVICE __device__ inline
#define SS_UNROLL _Pragma("unroll")
#endif

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// Lanes of a warp. For device code only: the host uses DeviceProperties::warp_size.
#if defined(SS_GPU_TILE_MFMA)
inline constexpr int kWarpSize = 64;
#else
inline constexpr int kWarpSize = 32;
#endif

/// The call site, as last argument of functions that threads have to call together. The shim compares call sites; on a
/// GPU the type is empty.
#if defined(SS_GPU_SHIM)
using CallSite = std::source_location;
#else
struct CallSite {
  SS_DEVICE static constexpr CallSite current() { return {}; }
};
#endif

#if defined(SS_GPU_SHIM)
SS_DEVICE int thread_x() {
  return shim::thread_index();
}
SS_DEVICE int block_x() {
  return static_cast<int>(shim::block_index().x);
}
SS_DEVICE int block_y() {
  return static_cast<int>(shim::block_index().y);
}
SS_DEVICE int block_z() {
  return static_cast<int>(shim::block_index().z);
}
SS_DEVICE int n_threads() {
  return shim::n_threads();
}
/// Barrier of the block: every thread arrives before any continues, and then sees what the others wrote.
SS_DEVICE void sync_block(CallSite where = CallSite::current()) {
  shim::sync_block(where);
}
/// The block's shared memory of LaunchShape::shared_bytes. Its content is undefined when the block starts.
template <typename T>
SS_DEVICE T& shared_memory() {
  return *reinterpret_cast<T*>(shim::shared_memory(sizeof(T)));
}
#else
#if defined(__HIP_DEVICE_COMPILE__)
// Builtins, because HIP's own functions become calls where the device library is not linked, as in tests/codegen.
SS_DEVICE int thread_x() {
  return static_cast<int>(__builtin_amdgcn_workitem_id_x());
}
SS_DEVICE int block_x() {
  return static_cast<int>(__builtin_amdgcn_workgroup_id_x());
}
SS_DEVICE int block_y() {
  return static_cast<int>(__builtin_amdgcn_workgroup_id_y());
}
SS_DEVICE int block_z() {
  return static_cast<int>(__builtin_amdgcn_workgroup_id_z());
}
SS_DEVICE int n_threads() {
  return __builtin_amdgcn_workgroup_size_x();
}
#else
SS_DEVICE int thread_x() {
  return static_cast<int>(threadIdx.x);
}
SS_DEVICE int block_x() {
  return static_cast<int>(blockIdx.x);
}
SS_DEVICE int block_y() {
  return static_cast<int>(blockIdx.y);
}
SS_DEVICE int block_z() {
  return static_cast<int>(blockIdx.z);
}
SS_DEVICE int n_threads() {
  return static_cast<int>(blockDim.x);
}
#endif
SS_DEVICE void sync_block() {
#if defined(__HIP_DEVICE_COMPILE__)
  // The fences and the barrier that HIP's __syncthreads() consists of, as builtins. Where a fence is a call, the compiler saves most
  // registers before it and loads them again after it.
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
#else
  __syncthreads();
#endif
}
/// Dynamic shared memory, whose size no compiler reports: a comment in the assembly carries it to tests/codegen.
template <typename T>
SS_DEVICE T& shared_memory() {
#if defined(SS_GPU_CUDA)
  asm volatile("// shared_memory %0 bytes" ::"n"(sizeof(T)));
#elif defined(__HIP_DEVICE_COMPILE__)
  asm volatile("; shared_memory %0 bytes" ::"i"(sizeof(T)));
#endif
  extern __shared__ __attribute__((aligned(SS_GPU_SHARED_ALIGNMENT))) unsigned char ss_gpu_shared[];
  return *reinterpret_cast<T*>(ss_gpu_shared);
}
#endif

SS_DEVICE int lane() {
  return thread_x() % kWarpSize;
}
SS_DEVICE int warp() {
  return thread_x() / kWarpSize;
}
SS_DEVICE int n_warps() {
  return n_threads() / kWarpSize;
}

/// Keeps AMD's compiler from moving instructions across this place. To save registers it would move loads down to where their values are
/// needed. Nothing on other targets.
SS_DEVICE void schedule_barrier() {
#if defined(__HIP_DEVICE_COMPILE__)
  __builtin_amdgcn_sched_barrier(0);
#endif
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
