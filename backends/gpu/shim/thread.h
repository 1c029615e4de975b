#pragma once
// What a kernel's thread can ask for while the shim runs it on the CPU: its place, barriers, shared memory, the other
// lanes of its warp. portable/ is the only user. A mistake of the kernel (a barrier that not all threads reach, a load
// that is not aligned) ends the block and comes back as the launch's error.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>

#include "core/half.h"
#include "gpu/device.h"

namespace secondsource::gpu::shim {

[[nodiscard]] int thread_index();
[[nodiscard]] const Dim3& block_index();
[[nodiscard]] int n_threads();

/// Barriers are told apart by where they are called: threads that wait at two of them are an error.
void sync_block(std::source_location where);
void sync_warp(int warp_size);
/// At least `bytes` have to have been asked for at the launch.
[[nodiscard]] void* shared_memory(std::size_t bytes);
void check_aligned(const void* address, std::size_t alignment_bytes);
/// Not all of the bytes that a load takes at once may be device memory that nobody wrote (unwritten.h).
void check_written(const void* address, std::size_t bytes);
/// `bytes` from the address on have to be the block's shared memory.
void check_in_shared(const void* address, std::size_t bytes);

/// The destination is poisoned with NaN at once, and written when the thread waits.
void copy_to_shared(void* to, const void* from, std::size_t bytes, bool in_range);
void commit_copies();
void wait_for_copies(int n_pending_groups);

/// `mine` stays where it is until all lanes of the warp have come. The last one does `work` for all of them; the others
/// wait. lanes[i] is what lane i brought.
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
      [](void* const* lanes, int n_lanes, int lane_mask) {
        for (int i = 0; i < n_lanes; ++i) {
          static_cast<Exchange*>(lanes[i])->taken = static_cast<const Exchange*>(lanes[i ^ lane_mask])->given;
        }
      },
      mask);
  return exchange.taken;
}

/// ldmatrix.x4: lane i brings row i % 8 of matrix i / 8, eight values of 16 bits, and gets a pair of each matrix.
struct alignas(16) MatrixRow {
  std::uint16_t value[8];
};
[[nodiscard]] MatrixRow exchange_matrices(const MatrixRow& row, bool transposed);

/// How a target spreads a tile over lanes (fragments.h).
enum class TileLayout : std::uint8_t { shim_sm_80, shim_sm_90a, shim_gfx90a, shim_gfx942, shim_gfx1100 };

/// c += a b, each a lane's share in that layout.
void multiply_tile(TileLayout layout, float* c, const Bf16* a, const Bf16* b);
void multiply_tile(TileLayout layout, std::int32_t* c, const std::int8_t* a, const std::int8_t* b);

// Products of warpgroups (warpgroup.h).

/// What a lane brings to one.
struct WarpgroupProduct {
  void* sums = nullptr;  ///< n_cols / 2 values, f32 or int32
  int n_cols = 0;
  bool is_int8 = false;
  bool adds = true;                ///< to the sums that are there; else they are written
  const void* fragment = nullptr;  ///< A, eight BF16; null: it is in shared memory
  std::uint64_t a = 0;             ///< matrix descriptors
  std::uint64_t b = 0;
  bool b_transposed = false;
  std::source_location where = {};  ///< it is called
  [[nodiscard]] bool same_operands(const WarpgroupProduct& other) const {
    return n_cols == other.n_cols && is_int8 == other.is_int8 && adds == other.adds &&
           (fragment == nullptr) == (other.fragment == nullptr) && a == other.a && b == other.b &&
           b_transposed == other.b_transposed;
  }
};

/// Of a byte in the block's shared memory, from its beginning on.
[[nodiscard]] std::uint32_t shared_address(const void* address);
/// The thread writes there: where that is shared memory, products do not see it before show_to_warpgroups().
void note_store(const void* address, std::size_t bytes);
void show_to_warpgroups();
/// As barriers of the block: the lanes of a warp, and the warps of a warpgroup, call them at the same places.
void fence_products(int warp_size, std::source_location where);
void commit_products(int warp_size, std::source_location where);
void wait_for_products(int warp_size, int n_pending_groups, std::source_location where);
void multiply_warpgroup(int warp_size, const WarpgroupProduct& product);

}  // namespace secondsource::gpu::shim
