#pragma once
// Copies of whole tiles of a matrix (gpu/tensor_map.h) to shared memory, which one thread requests and the GPU carries out by itself: PTX's
// cp.async.bulk.tensor. Their bytes arrive at a barrier (arrival_barrier.h). Only sm_90a kernels use them.
//
// They write through the async proxy, as wgmma reads: no fence is needed between the two. Shared memory that threads themselves wrote or
// read before needs fence_proxy_async() and a barrier first.

#include "gpu/portable/arrival_barrier.h"
#include "gpu/tensor_map.h"

// SS_TENSOR_ARGUMENT: before the argument of a kernel with a TensorMap in it, whose address the kernel takes.
#if defined(SS_GPU_CUDA)
#define SS_TENSOR_ARGUMENT const __grid_constant__
#else
#define SS_TENSOR_ARGUMENT const
#endif

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// Fetches a map ahead of the first copy that uses it.
SS_DEVICE void prefetch_map([[maybe_unused]] const TensorMap& map) {
#if defined(SS_GPU_WARPGROUPS) && !defined(SS_GPU_SHIM)
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
#endif
}

/// Copies the tile that begins with value `col` of row `row` to `to`, a multiple of 1024 bytes. One thread calls it.
SS_DEVICE void copy_tile([[maybe_unused]] std::byte* to, [[maybe_unused]] const TensorMap& map,
                         [[maybe_unused]] int col, [[maybe_unused]] int row, [[maybe_unused]] ArrivalBarrier& barrier) {
#if defined(SS_GPU_SHIM)
  shim::copy_tile(to, map, col, row, &barrier, 1U << shim::block_of_cluster());
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
          "r"(address_in_shared(to)),
      "l"(&map), "r"(col), "r"(row), "r"(address_in_shared(&barrier))
      : "memory");
#endif
}

/// Copies the tile to this place in the shared memory of several blocks of the cluster. In each of these blocks the copy reports its bytes
/// to the barrier in the place of `barrier`. Bit b of `blocks` stands for block b.
SS_DEVICE void copy_tile_to_blocks([[maybe_unused]] std::byte* to, [[maybe_unused]] const TensorMap& map,
                                   [[maybe_unused]] int col, [[maybe_unused]] int row,
                                   [[maybe_unused]] ArrivalBarrier& barrier, [[maybe_unused]] std::uint16_t blocks) {
#if defined(SS_GPU_SHIM)
  shim::copy_tile(to, map, col, row, &barrier, blocks);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, "
      "%3}], [%4], %5;" ::"r"(address_in_shared(to)),
      "l"(&map), "r"(col), "r"(row), "r"(address_in_shared(&barrier)), "h"(blocks)
      : "memory");
#endif
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
