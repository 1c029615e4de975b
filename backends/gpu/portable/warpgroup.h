#pragma once
// Asynchronous matrix products of a warpgroup (sm_90a, `wgmma`): four warps, the first of which has an index that is a
// multiple of four, multiply 64 rows of A by 32, 64 or 128 columns of B in shared memory.
//
//   store_chunk(tile + swizzled_offset(line, vec), ...);     // or copy_to_shared() and its wait
//   fence_proxy_async();                                    // each thread, for its own writes
//   sync_block();
//   fence_products();                                        // accumulator and A registers are final
//   multiply_lines(sums, lines_of(a), lines_of(b));          // sums += A B, kTileDepth of k
//   commit_products();                                       // closes a group of products
//   wait_for_products<0>(sums);                              // before sums are read or the tiles overwritten
//
// Each warp of the group has 16 of the 64 rows, in the layout of matrix_tile.h's Accumulator: tile j of `sums` is columns
// 16 j to 16 j + 15. Every lane of the four warps makes each call, with the same operands, at the same call site
// (`.aligned`): no call may be in a branch that only some of them take.
//
// Tiles have lines of 128 bytes, whose 16-byte vectors are permuted within each eight lines ("128-byte swizzling mode"),
// and begin at multiples of kSwizzleAlignment. Layouts and descriptors: PTX ISA 8.0, "Asynchronous Warpgroup Level
// Matrix Instructions". They were compared, element by element, with those that CuTe's headers compute (CUTLASS 4,
// cute/atom/mma_traits_sm90_gmma.hpp: Layout_K_SW128_Atom, Layout_MN_SW128_Atom, make_gmma_desc, CLayout_64xN,
// ALayout_64x16), compiled for the host. shim/warpgroup.cpp defines them independently.

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

/// The most shared memory of a block on sm_90a: 228 KiB less 1 KiB that the system reserves.
inline constexpr int kWarpgroupSharedBytes = 227 << 10;

/// Byte offset within a tile of 16-byte vector `vec` of line `line`.
SS_DEVICE int swizzled_offset(int line, int vec) {
  return line * kSwizzledLineBytes + (vec ^ line % 8) * static_cast<int>(sizeof(Chunk));
}

/// Descriptor of a tile in shared memory (PTX "matrix descriptor").
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
  const std::uint32_t address = 0;  // host pass: never runs
#endif
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  return {(address & 0x3ffffU) >> 4 | static_cast<std::uint64_t>(leading_bytes >> 4) << 16 |
          static_cast<std::uint64_t>(stride_bytes >> 4) << 32 | kSwizzle128};
}

/// K-major operand: one row of A, or column of B, per line, from value `k` of the lines on. k is a multiple of
/// kTileDepth.
template <typename Input>
SS_DEVICE SharedOperand lines_of(const std::byte* tile, int k) {
  return shared_operand(tile + k * static_cast<int>(sizeof(Input)), 16, kSwizzleAlignment);
}

/// MN-major operand: B[k, n] where line k holds 64 values of n, as in a tile of cached values with one token per line.
/// Columns 64 to 127 are in a second tile, `half_bytes` after the first. k is a multiple of 16.
SS_DEVICE SharedOperand transposed_lines_of(const std::byte* tile, int k, int half_bytes) {
  return shared_operand(tile + k * kSwizzledLineBytes, half_bytes, kSwizzleAlignment);
}

/// The operand `bytes` after this one, with the same layout.
SS_DEVICE SharedOperand offset_by(SharedOperand operand, int bytes) {
  return {operand.bits + static_cast<std::uint64_t>(bytes >> 4)};
}

/// A in registers: Fragment<Bf16> packed as two values per word, so that no packing is needed between products.
struct RegisterOperand {
  std::uint32_t word[4];
};

/// fence.proxy.async: makes this thread's writes to shared memory, including copies that it waited for, visible to
/// products that start after the next barrier. PTX asks for it after copy_to_shared() as well, where CUTLASS's main loop over
/// cp.async (sm90_mma_multistage_gmma_ss) leaves it out. On an H100 it costs nothing that can be measured
/// (docs/gpu-results.md).
SS_DEVICE void fence_proxy_async() {
#if defined(SS_GPU_SHIM)
  shim::fence_proxy_async();
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/// wgmma.fence: orders register writes before the products that read them. Required before the first product and after
/// every wait.
SS_DEVICE void fence_products([[maybe_unused]] CallSite where = CallSite::current()) {
#if defined(SS_GPU_SHIM)
  shim::fence_products(kWarpSize, where);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

/// wgmma.commit_group: closes the group of products since the last call.
SS_DEVICE void commit_products([[maybe_unused]] CallSite where = CallSite::current()) {
#if defined(SS_GPU_SHIM)
  shim::commit_products(kWarpSize, where);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

/// wgmma.wait_group: waits until at most kPendingGroups groups are pending. Sums that no pending product adds to can then
/// be read.
template <int kPendingGroups, typename Input, int kColTiles>
SS_DEVICE void wait_for_products([[maybe_unused]] Accumulator<Input> (&sums)[kColTiles],
                                 [[maybe_unused]] CallSite where = CallSite::current()) {
#if defined(SS_GPU_SHIM)
  shim::wait_for_products(kWarpSize, kPendingGroups, where);
#elif defined(SS_GPU_WARPGROUPS)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPendingGroups) : "memory");
  // Keeps the compiler from moving reads of the sums before the wait.
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

/// Forces `never_negative` and everything it depends on to be computed before the following wait, where running products
/// hide the cost. As an operand of inline assembly it would not: ptxas moves arithmetic behind the wait. A branch keeps
/// it in place, even one that is never taken. Called by every lane of the warp.
SS_DEVICE void compute_before_wait([[maybe_unused]] float never_negative) {
#if defined(SS_GPU_WARPGROUPS) && !defined(SS_GPU_SHIM)
  if (any_lane(never_negative < 0.0F)) asm volatile("trap;");
#endif
}

/// Whether a product adds to the sums or overwrites them.
enum class Sums : std::uint8_t { kAdded, kNew };

// Operand lists of a product's accumulator registers: 16 for 32 columns, 32 for 64, 64 for 128, 128 for 256.
#define SS_SUM_TILE(as, tile)                                                                              \
  as((tile).value[0]), as((tile).value[1]), as((tile).value[2]), as((tile).value[3]), as((tile).value[4]), \
      as((tile).value[5]), as((tile).value[6]), as((tile).value[7])
#define SS_SUMS_OF_32(as, s) SS_SUM_TILE(as, (s)[0]), SS_SUM_TILE(as, (s)[1])
#define SS_SUMS_OF_64(as, s) SS_SUMS_OF_32(as, s), SS_SUM_TILE(as, (s)[2]), SS_SUM_TILE(as, (s)[3])
#define SS_SUMS_OF_128(as, s)                                                                      \
  SS_SUMS_OF_64(as, s), SS_SUM_TILE(as, (s)[4]), SS_SUM_TILE(as, (s)[5]), SS_SUM_TILE(as, (s)[6]), \
      SS_SUM_TILE(as, (s)[7])
#define SS_SUMS_OF_256(as, s)                                                                                 \
  SS_SUMS_OF_128(as, s), SS_SUM_TILE(as, (s)[8]), SS_SUM_TILE(as, (s)[9]), SS_SUM_TILE(as, (s)[10]),          \
      SS_SUM_TILE(as, (s)[11]), SS_SUM_TILE(as, (s)[12]), SS_SUM_TILE(as, (s)[13]), SS_SUM_TILE(as, (s)[14]), \
      SS_SUM_TILE(as, (s)[15])
#define SS_LIST_OF_32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define SS_LIST_OF_64 SS_LIST_OF_32 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define SS_LIST_OF_128                                                                                                \
  SS_LIST_OF_64                                                                                                       \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59," \
  "%60,%61,%62,%63"
#define SS_LIST_OF_256                                                           \
  SS_LIST_OF_128                                                                 \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"             \
  ",%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"             \
  ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111" \
  ",%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
// "added" is PTX's scale-d: whether the product is added to the sums. Then, for BF16: A and B not negated, A not
// transposed, B transposed or not.
#define SS_WGMMA(instruction, list, adds, operands)                                                            \
  "{\n.reg .pred added;\nsetp.ne.s32 added, " adds ", 0;\nwgmma.mma_async.sync.aligned." instruction " {" list \
  "}, " operands ";\n}\n"
#define SS_AS_FLOAT(x) "+f"(x)
#define SS_AS_INT(x) "+r"(x)

/// sums += A B over kTileDepth values of k, for 64 columns of B (four tiles of sums, BF16 only), 128 (eight tiles) or 256.
template <Sums kSums = Sums::kAdded, typename Input, int kColTiles>
SS_DEVICE void multiply_lines(Accumulator<Input> (&sums)[kColTiles], SharedOperand a, SharedOperand b,
                              [[maybe_unused]] CallSite where = CallSite::current()) {
  static_assert(kColTiles == 16 || kColTiles == 8 || (kColTiles == 4 && std::is_same_v<Input, Bf16>));
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
  if constexpr (std::is_same_v<Input, std::int8_t> && kColTiles == 16) {
    asm volatile(SS_WGMMA("m64n256k32.s32.s8.s8", SS_LIST_OF_256, "%130", "%128, %129, added")
                 : SS_SUMS_OF_256(SS_AS_INT, sums)
                 : "l"(a.bits), "l"(b.bits), "n"(kAdds)
                 : "memory");
  } else if constexpr (kColTiles == 16) {
    asm volatile(SS_WGMMA("m64n256k16.f32.bf16.bf16", SS_LIST_OF_256, "%130", "%128, %129, added, 1, 1, 0, 0")
                 : SS_SUMS_OF_256(SS_AS_FLOAT, sums)
                 : "l"(a.bits), "l"(b.bits), "n"(kAdds)
                 : "memory");
  } else if constexpr (std::is_same_v<Input, std::int8_t>) {
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
  (void)sums, (void)a, (void)b;     // never runs: no wgmma on this target
#endif
}

/// The same with A in registers, in load_a()'s layout for this warp's 16 rows, and B from transposed_lines_of(), of 32, 64
/// or 128 columns. The registers of A must not change until the product has been waited for.
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
  (void)sums, (void)a, (void)b;     // never runs: no wgmma on this target
#endif
}

#undef SS_SUM_TILE
#undef SS_SUMS_OF_32
#undef SS_SUMS_OF_64
#undef SS_SUMS_OF_128
#undef SS_SUMS_OF_256
#undef SS_LIST_OF_32
#undef SS_LIST_OF_64
#undef SS_LIST_OF_128
#undef SS_LIST_OF_256
#undef SS_WGMMA
#undef SS_AS_FLOAT
#undef SS_AS_INT

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
