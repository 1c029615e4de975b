#pragma once
// Products of a warpgroup, where the target has them (sm_90a, `wgmma`): four warps, the first's index a multiple of
// four, multiply 64 rows of A by 32, 64 or 128 columns of B, which lie in shared memory, and go on while that happens.
//
//   store_chunk(tile + swizzled_place(line, unit), ...);     // or copy_to_shared() and its wait
//   show_to_warpgroups();                                    // each thread, what it wrote itself
//   sync_block();
//   fence_products();                                        // registers are final
//   multiply_lines(sums, lines_of(a), lines_of(b));          // sums += A B, kTileDepth of k
//   commit_products();                                       // these are one group
//   wait_for_products<0>(sums);                              // before sums are read, or the tiles written again
//
// A warp of the group has 16 of the 64 rows, and of their sums what matrix_tile.h's Accumulator has: tile j of `sums`
// is columns 16 j to 16 j + 15. Every lane of the four warps takes part in each call, with the same operands, and all
// four come to the same call (`.aligned`): none may stand where only some of them go.
//
// Tiles have lines of 128 bytes, the units of 16 bytes exchanged within each eight lines ("128-byte swizzling mode"),
// and begin at multiples of kSwizzleAlignment. Layouts and descriptors: PTX ISA 8.0, "Asynchronous Warpgroup Level
// Matrix Instructions". They were compared, element by element, with those that CuTe's headers compute (CUTLASS 4,
// cute/atom/mma_traits_sm90_gmma.hpp: Layout_K_SW128_Atom, Layout_MN_SW128_Atom, make_gmma_desc, CLayout_64xN,
// ALayout_64x16), compiled for the host. shim/warpgroup.cpp has them a second time.

#include "gpu/portable/matrix_tile.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

#if defined(SS_GPU_WARPGROUPS)
inline constexpr bool kHasWarpgroups = true;
#else
inline constexpr bool kHasWarpgroups = false;
#endif

inline constexpr int kWarpgroupWarps = 4;
inline constexpr int kWarpgroupRows = kWarpgroupWarps * kTile;
inline constexpr int kSwizzledLineBytes = 128;
inline constexpr int kSwizzleAlignment = 8 * kSwizzledLineBytes;

/// Shared memory of a block, at most, where its kernel runs on sm_90a alone: 228 KiB less what the system takes.
inline constexpr int kWarpgroupSharedBytes = 227 << 10;

/// Where unit `unit`, of 16 bytes, of line `line` lies in a tile: bytes from its beginning.
SS_DEVICE int swizzled_place(int line, int unit) {
  return line * kSwizzledLineBytes + (unit ^ line % 8) * static_cast<int>(sizeof(Chunk));
}

/// A tile in shared memory as a product reads it ("matrix descriptor").
struct SharedOperand {
  std::uint64_t bits;
};

SS_DEVICE SharedOperand shared_operand(const void* tile, int leading_bytes, int stride_bytes) {
#if defined(SS_GPU_SHIM)
  const std::uint32_t address = shim::shared_address(tile);
#elif defined(__CUDA_ARCH__)
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(tile));
#else
  (void)tile;
  const std::uint32_t address = 0;  // a pass for the host: never runs
#endif
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  return {(address & 0x3ffffU) >> 4 | static_cast<std::uint64_t>(leading_bytes >> 4) << 16 |
          static_cast<std::uint64_t>(stride_bytes >> 4) << 32 | kSwizzle128};
}

/// Rows of A, or columns of B, a line each, from value `k` of the lines on: k is a multiple of kTileDepth.
template <typename Input>
SS_DEVICE SharedOperand lines_of(const std::byte* tile, int k) {
  return shared_operand(tile + k * static_cast<int>(sizeof(Input)), 16, kSwizzleAlignment);
}

/// B[k, n] where line k has 64 values of n: cached values, a token a line. Columns 64 to 127 are in a tile of their
/// own, `half_bytes` behind the first. k is a multiple of 16.
SS_DEVICE SharedOperand transposed_lines_of(const std::byte* tile, int k, int half_bytes) {
  return shared_operand(tile + k * kSwizzledLineBytes, half_bytes, kSwizzleAlignment);
}

/// The operand that begins `bytes` behind this one's beginning, laid out as it is.
SS_DEVICE SharedOperand behind(SharedOperand operand, int bytes) {
  return {operand.bits + static_cast<std::uint64_t>(bytes >> 4)};
}

/// A in registers: what Fragment<Bf16> has, two values a word, so that nothing has to be put together between products.
struct RegisterOperand {
  std::uint32_t word[4];
};

/// What this thread wrote to shared memory, copies that it waited for included, can be read by products that begin
/// after the next barrier.
SS_DEVICE void show_to_warpgroups() {
#if defined(SS_GPU_SHIM)
  shim::show_to_warpgroups();
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/// Before the first product, and again after every wait: registers that products read are as they should be.
SS_DEVICE void fence_products([[maybe_unused]] CallSite where = CallSite::current()) {
#if defined(SS_GPU_SHIM)
  shim::fence_products(kWarpSize, where);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

SS_DEVICE void commit_products([[maybe_unused]] CallSite where = CallSite::current()) {
#if defined(SS_GPU_SHIM)
  shim::commit_products(kWarpSize, where);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

/// All groups of products but the latest kPendingGroups are done. Sums that no other one adds to can be read.
template <int kPendingGroups, typename Input, int kColTiles>
SS_DEVICE void wait_for_products([[maybe_unused]] Accumulator<Input> (&sums)[kColTiles],
                                 [[maybe_unused]] CallSite where = CallSite::current()) {
#if defined(SS_GPU_SHIM)
  shim::wait_for_products(kWarpSize, kPendingGroups, where);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPendingGroups) : "memory");
  // Or the compiler could read them before.
  SS_UNROLL
  for (int j = 0; j < kColTiles; ++j) {
    SS_UNROLL
    for (int v = 0; v < kAccumulators; ++v) {
      if constexpr (std::is_same_v<Input, Bf16>) {
        asm volatile("" : "+f"(sums[j].value[v])::"memory");
      } else {
        asm volatile("" : "+r"(sums[j].value[v])::"memory");
      }
    }
  }
#endif
}

/// `never_negative`, and what it takes, is computed before the wait that follows, where products under way hide it. An
/// operand of inline assembly does not tell ptxas that, which moves arithmetic behind the wait; a branch does, even one
/// that is never taken. Every lane of the warp takes part.
SS_DEVICE void compute_before_wait([[maybe_unused]] float never_negative) {
#if defined(SS_GPU_WARPGROUPS) && !defined(SS_GPU_SHIM)
  if (any_lane(never_negative < 0.0F)) asm volatile("trap;");
#endif
}

/// What a product does with the sums that are there.
enum class Sums : std::uint8_t { kAdded, kNew };

// The registers of a product: 16 for 32 columns, 32 for 64, 64 for 128.
#define SS_SUM_TILE(as, tile)                                                                              \
  as((tile).value[0]), as((tile).value[1]), as((tile).value[2]), as((tile).value[3]), as((tile).value[4]), \
      as((tile).value[5]), as((tile).value[6]), as((tile).value[7])
#define SS_SUMS_OF_32(as, s) SS_SUM_TILE(as, (s)[0]), SS_SUM_TILE(as, (s)[1])
#define SS_SUMS_OF_64(as, s) SS_SUMS_OF_32(as, s), SS_SUM_TILE(as, (s)[2]), SS_SUM_TILE(as, (s)[3])
#define SS_SUMS_OF_128(as, s)                                                                      \
  SS_SUMS_OF_64(as, s), SS_SUM_TILE(as, (s)[4]), SS_SUM_TILE(as, (s)[5]), SS_SUM_TILE(as, (s)[6]), \
      SS_SUM_TILE(as, (s)[7])
#define SS_LIST_OF_32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define SS_LIST_OF_64 SS_LIST_OF_32 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define SS_LIST_OF_128                                                                                                \
  SS_LIST_OF_64                                                                                                       \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59," \
  "%60,%61,%62,%63"
// "added" is scale-d, whether the sums are added to. Then, for BF16: neither A nor B negated, A not transposed, B as
// said.
#define SS_WGMMA(instruction, list, adds, operands)                                                            \
  "{\n.reg .pred added;\nsetp.ne.s32 added, " adds ", 0;\nwgmma.mma_async.sync.aligned." instruction " {" list \
  "}, " operands ";\n}\n"
#define SS_AS_FLOAT(x) "+f"(x)
#define SS_AS_INT(x) "+r"(x)

/// sums += A B over kTileDepth values of k: of 64 columns of B with four tiles of sums, of 128 with eight; int8 of 128.
template <Sums kSums = Sums::kAdded, typename Input, int kColTiles>
SS_DEVICE void multiply_lines(Accumulator<Input> (&sums)[kColTiles], SharedOperand a, SharedOperand b,
                              [[maybe_unused]] CallSite where = CallSite::current()) {
  static_assert(kColTiles == 8 || (kColTiles == 4 && std::is_same_v<Input, Bf16>));
  [[maybe_unused]] constexpr int kAdds = kSums == Sums::kAdded ? 1 : 0;
#if defined(SS_GPU_SHIM)
  shim::multiply_warpgroup(kWarpSize, {.sums = sums[0].value,
                                       .n_cols = kColTiles * kTile,
                                       .is_int8 = sizeof(Input) == 1,
                                       .adds = kAdds != 0,
                                       .fragment = nullptr,
                                       .a = a.bits,
                                       .b = b.bits,
                                       .b_transposed = false,
                                       .where = where});
#elif defined(SS_GPU_WARPGROUPS)
  if constexpr (std::is_same_v<Input, std::int8_t>) {
    asm volatile(SS_WGMMA("m64n128k32.s32.s8.s8", SS_LIST_OF_128, "%66", "%64, %65, added")
                 : SS_SUMS_OF_128(SS_AS_INT, sums)
                 : "l"(a.bits), "l"(b.bits), "n"(kAdds)
                 : "memory");
  } else if constexpr (kColTiles == 8) {
    asm volatile(SS_WGMMA("m64n128k16.f32.bf16.bf16", SS_LIST_OF_128, "%66", "%64, %65, added, 1, 1, 0, 0")
                 : SS_SUMS_OF_128(SS_AS_FLOAT, sums)
                 : "l"(a.bits), "l"(b.bits), "n"(kAdds)
                 : "memory");
  } else {
    asm volatile(SS_WGMMA("m64n64k16.f32.bf16.bf16", SS_LIST_OF_64, "%34", "%32, %33, added, 1, 1, 0, 0")
                 : SS_SUMS_OF_64(SS_AS_FLOAT, sums)
                 : "l"(a.bits), "l"(b.bits), "n"(kAdds)
                 : "memory");
  }
#else
  (void)sums, (void)a, (void)b;     // no such target: never runs
#endif
}

/// The same with A in registers, as load_a() gives it of this warp's 16 rows, and B transposed_lines_of(): of 32, 64 or
/// 128 columns. The registers stay as they are until the product was waited for.
template <int kColTiles>
SS_DEVICE void multiply_transposed(Accumulator<Bf16> (&sums)[kColTiles], const RegisterOperand& a, SharedOperand b,
                                   [[maybe_unused]] CallSite where = CallSite::current()) {
  static_assert(kColTiles == 8 || kColTiles == 4 || kColTiles == 2);
#if defined(SS_GPU_SHIM)
  shim::multiply_warpgroup(kWarpSize, {.sums = sums[0].value,
                                       .n_cols = kColTiles * kTile,
                                       .is_int8 = false,
                                       .adds = true,
                                       .fragment = a.word,
                                       .a = 0,
                                       .b = b.bits,
                                       .b_transposed = true,
                                       .where = where});
#elif defined(SS_GPU_WARPGROUPS)
  if constexpr (kColTiles == 8) {
    asm volatile(SS_WGMMA("m64n128k16.f32.bf16.bf16", SS_LIST_OF_128, "%69", "{%64,%65,%66,%67}, %68, added, 1, 1, 1")
                 : SS_SUMS_OF_128(SS_AS_FLOAT, sums)
                 : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "l"(b.bits), "n"(1)
                 : "memory");
  } else if constexpr (kColTiles == 4) {
    asm volatile(SS_WGMMA("m64n64k16.f32.bf16.bf16", SS_LIST_OF_64, "%37", "{%32,%33,%34,%35}, %36, added, 1, 1, 1")
                 : SS_SUMS_OF_64(SS_AS_FLOAT, sums)
                 : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "l"(b.bits), "n"(1)
                 : "memory");
  } else {
    asm volatile(SS_WGMMA("m64n32k16.f32.bf16.bf16", SS_LIST_OF_32, "%21", "{%16,%17,%18,%19}, %20, added, 1, 1, 1")
                 : SS_SUMS_OF_32(SS_AS_FLOAT, sums)
                 : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "l"(b.bits), "n"(1)
                 : "memory");
  }
#else
  (void)sums, (void)a, (void)b;     // no such target: never runs
#endif
}

#undef SS_SUM_TILE
#undef SS_SUMS_OF_32
#undef SS_SUMS_OF_64
#undef SS_SUMS_OF_128
#undef SS_LIST_OF_32
#undef SS_LIST_OF_64
#undef SS_LIST_OF_128
#undef SS_WGMMA
#undef SS_AS_FLOAT
#undef SS_AS_INT

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
