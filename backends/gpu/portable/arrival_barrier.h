#pragma once
// Barriers in shared memory at which threads arrive without waiting: PTX's mbarrier objects. Asynchronous copies also report their bytes to
// them. A barrier goes through phases. A phase is complete when the expected number of threads has arrived and copies have brought all the
// bytes that were announced for it. Then the next phase begins. Phases are numbered from 0, and the parity of a phase is that of its
// number. Only kernels for sm_90a use these barriers.
//
//   init_arrivals(barrier, n);                // One thread calls it before any other uses the barrier. A phase has n arrivals.
//   show_barriers_to_cluster();               // The same thread calls this next,
//   sync_cluster();                           // and then all threads meet here, or at sync_block().
//   arrive_expecting(barrier, bytes);         // One thread arrives and announces so many bytes.
//   copy_tile(to, map, col, row, barrier);    // The copy reports its bytes to the barrier (tensor_copy.h).
//   wait_for_phase(barrier, parity);          // Waits until the phase of this parity is complete.
//   arrive_at(barrier, block);                // Arrives at the barrier in the same place of another block of the cluster (cluster.h).
//
// Waiting for parity 1 at a new barrier returns at once, as if a phase before the first one were complete. A thread that waits for phases
// must not fall two phases behind.

#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

struct ArrivalBarrier {
  std::uint64_t state;
};

#if defined(SS_GPU_WARPGROUPS) && !defined(SS_GPU_SHIM)
SS_DEVICE std::uint32_t address_in_shared(const void* place) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(place));
}
#endif

SS_DEVICE void init_arrivals([[maybe_unused]] ArrivalBarrier& barrier, [[maybe_unused]] int n_arrivals) {
#if defined(SS_GPU_SHIM)
  shim::init_arrivals(&barrier, n_arrivals);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address_in_shared(&barrier)), "r"(n_arrivals)
               : "memory");
#endif
}

/// Makes the barriers that this thread has initialized visible to the other blocks of the cluster, and to copies, once they have passed a
/// barrier after it.
SS_DEVICE void show_barriers_to_cluster() {
#if defined(SS_GPU_SHIM)
  shim::show_barriers_to_cluster();
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/// Arrives, after announcing that copies will bring so many bytes in this phase.
SS_DEVICE void arrive_expecting([[maybe_unused]] ArrivalBarrier& barrier, [[maybe_unused]] int n_bytes) {
#if defined(SS_GPU_SHIM)
  shim::arrive_expecting(&barrier, n_bytes);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address_in_shared(&barrier)), "r"(n_bytes)
               : "memory");
#endif
}

/// Arrives at the barrier that is in this place of another block's shared memory, or of this block's own. Products that this thread has
/// waited for are done with their operands before it arrives. What it wrote to memory is not ordered for other blocks: that would be a
/// fence of the whole device.
SS_DEVICE void arrive_at([[maybe_unused]] ArrivalBarrier& barrier, [[maybe_unused]] int block) {
#if defined(SS_GPU_SHIM)
  shim::arrive_at(&barrier, block);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile(
      "{\n.reg .b32 place;\nmapa.shared::cluster.u32 place, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [place];\n}" ::"r"(address_in_shared(&barrier)),
      "r"(block)
      : "memory");
#endif
}

/// Waits until the phase of this parity is complete: then this thread sees what copies brought, and what threads of its own block had
/// written before they arrived.
SS_DEVICE void wait_for_phase([[maybe_unused]] ArrivalBarrier& barrier, [[maybe_unused]] int parity,
                              [[maybe_unused]] CallSite where = CallSite::current()) {
#if defined(SS_GPU_SHIM)
  shim::wait_for_phase(&barrier, parity, where);
#elif defined(SS_GPU_WARPGROUPS)
  // The instruction itself waits for a while before it reports that the phase is not complete.
  std::uint32_t is_complete = 0;
  do {
    asm volatile(
        "{\n.reg .pred complete;\nmbarrier.try_wait.parity.shared::cta.b64 complete, [%1], %2;\n"
        "selp.u32 %0, 1, 0, complete;\n}"
        : "=r"(is_complete)
        : "r"(address_in_shared(&barrier)), "r"(parity)
        : "memory");
  } while (is_complete == 0);
#endif
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
