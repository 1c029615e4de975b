#pragma once
// A cluster is a group of neighbouring blocks of a launch (LaunchShape::cluster_blocks) that run at the same time on neighbouring
// processors. One copy can write to the shared memory of several of them, and their threads can arrive at each other's barriers. Only
// kernels for sm_90a use clusters.
//
// A block must not end while another one may still reach its shared memory: sync_cluster() comes last.

#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// The number of this block in its cluster. Blocks that follow each other along x form a cluster.
SS_DEVICE int block_of_cluster() {
#if defined(SS_GPU_SHIM)
  return shim::block_of_cluster();
#elif defined(SS_GPU_WARPGROUPS)
  std::uint32_t block = 0;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(block));
  return static_cast<int>(block);
#else
  return 0;
#endif
}

/// Barrier of all threads of the cluster's blocks, which then see what the others wrote. All lanes of a warp come to it together.
SS_DEVICE void sync_cluster([[maybe_unused]] CallSite where = CallSite::current()) {
#if defined(SS_GPU_SHIM)
  shim::sync_cluster(where);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
