#pragma once
// The functions that a kernel's thread calls when the shim runs it on the CPU: indices, barriers, shared memory, exchange
// with the other lanes of its warp. Only portable/ includes this. A bug in the kernel (a barrier that not all threads
// reach, an unaligned load) ends the block and becomes the launch's error.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>

#include "core/half.h"
#include "gpu/device.h"
#include "gpu/tensor_map.h"

// Marks a function in which lanes exchange registers. The shim exchanges them through the stacks of its fibers, which ThreadSanitizer
// would report as data races in the test that compiles the kernels with it.
#if defined(__SANITIZE_THREAD__)
#define SS_EXCHANGES_REGISTERS __attribute__((no_sanitize_thread))
#else
#define SS_EXCHANGES_REGISTERS
#endif

namespace secondsource::gpu::shim {

[[nodiscard]] int thread_index();
[[nodiscard]] const Dim3& block_index();
[[nodiscard]] int n_threads();
/// An error unless each thread calls it before it ends.
void wait_for_earlier_kernels();

/// A barrier is identified by its call site: threads of one block waiting at different ones are an error.
void sync_block(std::source_location where);
void sync_warp(int warp_size);
/// An error unless the launch requested at least `bytes`.
[[nodiscard]] void* shared_memory(std::size_t bytes);
void check_aligned(const void* address, std::size_t alignment_bytes);
/// An error if all bytes of a load are device memory that was never written (unwritten.h).
void check_written(const void* address, std::size_t bytes);
/// An error unless the `bytes` at the address are in the block's shared memory.
void check_in_shared(const void* address, std::size_t bytes);

/// Poisons the destination with NaN at once; the data arrives when the thread waits.
void copy_to_shared(void* to, const void* from, std::size_t bytes, bool in_range);
void commit_copies();
void wait_for_copies(int n_pending_groups);

// Clusters (portable/cluster.h), the barriers of arrivals in their blocks' shared memory (portable/arrival_barrier.h), and copies of whole
// tiles (portable/tensor_copy.h). `barrier`: its address in the calling block's shared memory.

[[nodiscard]] int block_of_cluster();
void sync_cluster(std::source_location where);
void init_arrivals(const void* barrier, int n_arrivals);
/// Shows the barriers that the calling thread has initialized.
void show_barriers_to_cluster();
void arrive_expecting(const void* barrier, int n_bytes);
void arrive_at(const void* barrier, int block);
void wait_for_phase(const void* barrier, int parity, std::source_location where);
/// Poisons the destinations with NaN at once; the tile arrives later, at the latest when no thread of the cluster can go on.
void copy_tile(void* to, const TensorMap& map, int col, int row, const void* barrier, unsigned blocks);

/// Rendezvous of a warp: each lane waits until all have arrived; the last one runs `work` for all. lanes[i] is the `mine`
/// of lane i, which stays valid until then. As on a GPU, the lanes exchange registers and nothing else: the rendezvous does not
/// order what one lane wrote to memory before it and another lane reads after it. sync_warp() does.
void meet_warp(int warp_size, void* mine, void (*work)(void* const* lanes, int warp_size, int argument), int argument);

template <typename T>
T shuffle_xor(T value, int mask, int warp_size) {
  struct Exchange {
    T given;
    T taken;
  };
  Exchange exchange{value, value};
  meet_warp(
      warp_size, &exchange,
      [](void* const* lanes, int n_lanes, int lane_mask) SS_EXCHANGES_REGISTERS {
        for (int i = 0; i < n_lanes; ++i) {
          static_cast<Exchange*>(lanes[i])->taken = static_cast<const Exchange*>(lanes[i ^ lane_mask])->given;
        }
      },
      mask);
  return exchange.taken;
}

/// ldmatrix.x4: lane i passes row i % 8 of matrix i / 8, eight 16-bit values, and receives one pair of each matrix.
struct alignas(16) MatrixRow {
  std::uint16_t value[8];
};
[[nodiscard]] MatrixRow exchange_matrices(const MatrixRow& row, bool transposed);

/// A target's layout of a tile over lanes (fragments.h).
enum class TileLayout : std::uint8_t { shim_sm_80, shim_sm_90a, shim_gfx90a, shim_gfx942, shim_gfx1100 };

/// c += a b; each argument is this lane's fragment in that layout.
void multiply_tile(TileLayout layout, float* c, const Bf16* a, const Bf16* b);
void multiply_tile(TileLayout layout, std::int32_t* c, const std::int8_t* a, const std::int8_t* b);

// Products of warpgroups (warpgroup.h).

/// The operands of a product, as each lane passes them.
struct WarpgroupProduct {
  void* sums = nullptr;  ///< n_cols / 2 values, f32 or int32
  int n_cols = 0;
  bool is_int8 = false;
  bool adds = true;                ///< true: adds to the sums; false: overwrites them
  const void* fragment = nullptr;  ///< A in registers, eight BF16; null: A is in shared memory
  std::uint64_t a = 0;             ///< matrix descriptors
  std::uint64_t b = 0;
  bool b_transposed = false;
  std::source_location where = {};  ///< call site
  [[nodiscard]] bool same_operands(const WarpgroupProduct& other) const {
    return n_cols == other.n_cols && is_int8 == other.is_int8 && adds == other.adds &&
           (fragment == nullptr) == (other.fragment == nullptr) && a == other.a && b == other.b &&
           b_transposed == other.b_transposed;
  }
};

/// Offset of a byte from the beginning of the block's shared memory.
[[nodiscard]] std::uint32_t shared_address(const void* address);
/// Records a write of the thread. If it is to shared memory, products do not see it before fence_proxy_async().
void note_store(const void* address, std::size_t bytes);
void fence_proxy_async();
/// Like barriers, these must be called at the same call sites by all lanes of a warp and all warps of a warpgroup.
void fence_products(int warp_size, std::source_location where);
void commit_products(int warp_size, std::source_location where);
void wait_for_products(int warp_size, int n_pending_groups, std::source_location where);
void multiply_warpgroup(int warp_size, const WarpgroupProduct& product);

}  // namespace secondsource::gpu::shim
