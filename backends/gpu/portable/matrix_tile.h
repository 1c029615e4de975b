#pragma once
// Matrix cores behind one interface: a warp multiplies 16 x 16 tiles, BF16 to f32, or int8 to int32, exactly. The layout
// of a tile's elements over lanes depends on the target and stays in this file: kernels load fragments from shared memory
// and get the row and column of an accumulator's elements from accumulator_row() and accumulator_col().
//
//   Accumulator<Bf16> c = {};                                  // or <std::int8_t>, with tiles of int8
//   multiply(c, load_a(x, stride), load_b(w, stride));         // c[m, n] += sum_k x[m, k] * w[n, k], kTileDepth of k
//   for (int i = 0; i < kAccumulators; ++i) out[accumulator_row(i)][accumulator_col(i)] = c.value[i];
//
// Layouts: mma.m16n8k16 and m16n8k32, PTX ISA 8, "Matrix Fragments for ...", loaded by ldmatrix, "Warp-level matrix
// load instruction"; MFMA v_mfma_f32_16x16x16_bf16, v_mfma_i32_16x16x16_i8 and 16x16x32_i8, "AMD Instinct MI200 / CDNA3
// Instruction Set Architecture", section on matrix instructions; WMMA v_wmma_f32_16x16x16_bf16 and i32_16x16x16_iu8,
// "RDNA3 Instruction Set Architecture", section 7.9. shim/fragments.cpp defines them independently, as data.

#include "gpu/portable/storage.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

inline constexpr int kTile = 16;  ///< rows and columns of a tile

/// kHasMmaFragments: a fragment can be made of 16 neighbouring bytes of two rows: fragment_a(), fragment_b().
#if defined(SS_GPU_TILE_MMA)
inline constexpr bool kHasMmaFragments = true;
#else
inline constexpr bool kHasMmaFragments = false;
#endif

/// kTileDepth: extent of K in one instruction. kInputs: values of A, and of B, per lane. kAccumulators: sums per lane;
/// every kNeighbours of them lie side by side in a row, from an even column on.
#if defined(SS_GPU_TILE_MMA)
template <typename Input>
inline constexpr int kTileDepth = 32 / static_cast<int>(sizeof(Input));
template <typename Input>
inline constexpr int kInputs = 16 / static_cast<int>(sizeof(Input));
inline constexpr int kAccumulators = 8;
inline constexpr int kNeighbours = 2;
#elif defined(SS_GPU_TILE_MFMA)
#if defined(SS_GPU_DEEP_INT8)
template <typename Input>
inline constexpr int kTileDepth = sizeof(Input) == 1 ? 32 : 16;
#else
template <typename Input>
inline constexpr int kTileDepth = 16;
#endif
template <typename Input>
inline constexpr int kInputs = kTileDepth<Input> / 4;
inline constexpr int kAccumulators = 4;
inline constexpr int kNeighbours = 1;
#else
template <typename Input>
inline constexpr int kTileDepth = 16;
template <typename Input>
inline constexpr int kInputs = 16;
inline constexpr int kAccumulators = 8;
inline constexpr int kNeighbours = 1;
#endif

/// A lane's share of a tile of A or B.
template <typename Input>
struct alignas(4) Fragment {
  Input value[kInputs<Input>];
};

template <typename Input>
using SumOf = std::conditional_t<std::is_same_v<Input, std::int8_t>, std::int32_t, float>;

/// A lane's share of a 16 x 16 tile of sums.
template <typename Input>
struct Accumulator {
  SumOf<Input> value[kAccumulators];
};

/// accumulator_row(i), accumulator_col(i): row and column of this lane's i-th sum. On AMD also input_line(): the row of A
/// and column of B that this lane holds, and input_k(): the k of its first value; the others follow.
#if defined(SS_GPU_TILE_MMA)
SS_DEVICE int accumulator_row(int i) {
  return lane() / 4 + (i / 2 % 2) * 8;
}
SS_DEVICE int accumulator_col(int i) {
  return lane() % 4 * 2 + i % 2 + (i / 4) * 8;  // two m16n8 products side by side
}
#elif defined(SS_GPU_TILE_MFMA)
SS_DEVICE int input_line() {
  return lane() % 16;
}
template <typename Input>
SS_DEVICE int input_k() {
  return lane() / 16 * kInputs<Input>;
}
SS_DEVICE int accumulator_row(int i) {
  return lane() / 16 * 4 + i;  // each quarter of the wave has four rows
}
SS_DEVICE int accumulator_col(int) {
  return lane() % 16;
}
#else
// Both halves of the wave hold the same A and B; rows of the sums alternate between the halves.
SS_DEVICE int input_line() {
  return lane() % 16;
}
template <typename Input>
SS_DEVICE int input_k() {
  return 0;
}
SS_DEVICE int accumulator_row(int i) {
  return i * 2 + lane() / 16;
}
SS_DEVICE int accumulator_col(int) {
  return lane() % 16;
}
#endif

#if defined(SS_GPU_TILE_MMA)
/// ldmatrix.x4: loads four matrices of 8 x 8 BF16, or 8 x 16 int8, whose rows of 16 bytes are in shared memory. Lane i
/// passes the address of row i % 8 of matrix i / 8 and receives bytes [i % 4 * 4, i % 4 * 4 + 4) of row i / 4 of each
/// matrix, or of each transposed matrix if `kTransposed`.
template <bool kTransposed, typename Input>
SS_DEVICE Fragment<Input> load_matrices(const Input* row) {
#if defined(__CUDA_ARCH__)
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  std::uint32_t words[4];
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(address)
                 : "memory");
  }
  Fragment<Input> fragment;
  memcpy(&fragment, words, sizeof(fragment));
  return fragment;
#elif defined(SS_GPU_SHIM)
  shim::check_in_shared(row, sizeof(Chunk));
  return bits_as<Fragment<Input> >(shim::exchange_matrices(bits_as<shim::MatrixRow>(load_chunk(row)), kTransposed));
#else
  (void)row;
  return {};  // host pass: never runs
#endif
}

/// A[m, k] = tile[m * stride + k]; rows begin at multiples of 16 bytes, in shared memory.
template <typename Input>
SS_DEVICE Fragment<Input> load_a(const Input* tile, int stride) {
  return load_matrices<false>(tile + lane() % 16 * stride + lane() / 16 * (kTileDepth<Input> / 2));
}

/// B[k, n] = tile[n * stride + k]: rows of a weight as they are stored.
template <typename Input>
SS_DEVICE Fragment<Input> load_b(const Input* tile, int stride) {
  return load_matrices<false>(tile + (lane() % 8 + lane() / 16 * 8) * stride +
                              lane() / 8 % 2 * (kTileDepth<Input> / 2));
}

/// A of bytes that lanes hold. Lane i passes 16 bytes of row i / 4 and the same 16 of the row eight below; the four lanes of a row pass
/// different ones. `part` 0 and 1 are the tiles of both halves of these bytes. Which columns of K a tile has and in which order follows
/// from the lanes and is the same for fragment_b().
template <typename Input>
SS_DEVICE Fragment<Input> fragment_a(const Chunk& upper, const Chunk& lower, int part) {
  return bits_as<Fragment<Input> >(
      Chunk{.word = {upper.word[2 * part], lower.word[2 * part], upper.word[2 * part + 1], lower.word[2 * part + 1]}});
}

/// The same for B: rows i / 4 and i / 4 + 8 of a weight.
template <typename Input>
SS_DEVICE Fragment<Input> fragment_b(const Chunk& upper, const Chunk& lower, int part) {
  return bits_as<Fragment<Input> >(
      Chunk{.word = {upper.word[2 * part], upper.word[2 * part + 1], lower.word[2 * part], lower.word[2 * part + 1]}});
}

/// B[k, n] = tile[k * stride + n]: values of the KV cache, one token per row.
SS_DEVICE Fragment<Bf16> load_b_transposed(const Bf16* tile, int stride) {
  return load_matrices<true>(tile + lane() % 16 * stride + lane() / 16 * 8);
}
#else
template <typename Input>
SS_DEVICE Fragment<Input> fragment_a(const Chunk& upper, const Chunk& lower, int part) = delete;
template <typename Input>
SS_DEVICE Fragment<Input> fragment_b(const Chunk& upper, const Chunk& lower, int part) = delete;

/// The values of one load of a lane: at most 8 bytes.
template <typename Input>
inline constexpr int kRun = sizeof(Input) * kInputs<Input> < 8 ? kInputs<Input> : 8 / static_cast<int>(sizeof(Input));
template <typename Input>
struct alignas(kRun<Input> * sizeof(Input)) InputRun {
  Input value[kRun<Input>];
};

/// A[m, k] = tile[m * stride + k], by plain loads.
template <typename Input>
SS_DEVICE Fragment<Input> load_a(const Input* tile, int stride) {
  Fragment<Input> a;
  const Input* const from = tile + input_line() * stride + input_k<Input>();
  SS_UNROLL
  for (int i = 0; i < kInputs<Input>; i += kRun<Input>) {
    const InputRun<Input> run = *reinterpret_cast<const InputRun<Input>*>(from + i);
    SS_UNROLL
    for (int j = 0; j < kRun<Input>; ++j) a.value[i + j] = run.value[j];
  }
  return a;
}
template <typename Input>
SS_DEVICE Fragment<Input> load_b(const Input* tile, int stride) {
  return load_a(tile, stride);  // columns of B have the same layout as rows of A
}
SS_DEVICE Fragment<Bf16> load_b_transposed(const Bf16* tile, int stride) {
  Fragment<Bf16> b;
  SS_UNROLL
  for (int i = 0; i < kInputs<Bf16>; ++i) b.value[i] = tile[(input_k<Bf16>() + i) * stride + input_line()];
  return b;
}
#endif

/// c += a b. Called by every lane of the warp.
template <typename Input>
SS_DEVICE void multiply(Accumulator<Input>& c, const Fragment<Input>& a, const Fragment<Input>& b) {
#if defined(SS_GPU_SHIM)
  shim::multiply_tile(shim::TileLayout::SS_GPU_TARGET, c.value, a.value, b.value);
#elif defined(__CUDA_ARCH__)
  std::uint32_t ra[4];
  std::uint32_t rb[4];
  memcpy(ra, &a, sizeof(ra));
  memcpy(rb, &b, sizeof(rb));
  SS_UNROLL
  for (int half = 0; half < 2; ++half) {
    SumOf<Input>* const d = c.value + half * 4;
    if constexpr (std::is_same_v<Input, Bf16>) {
      asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[half * 2]), "r"(rb[half * 2 + 1]));
    } else {
      asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
          : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[half * 2]), "r"(rb[half * 2 + 1]));
    }
  }
#elif defined(__HIP_DEVICE_COMPILE__)
  using Sums = __attribute__((ext_vector_type(kAccumulators))) SumOf<Input>;
  Sums d = bits_as<Sums>(c);
#if defined(SS_GPU_TILE_MFMA)
  if constexpr (std::is_same_v<Input, Bf16>) {
    using Short4 = __attribute__((ext_vector_type(4))) short;
    d = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(bits_as<Short4>(a), bits_as<Short4>(b), d, 0, 0, 0);
  } else {
#if defined(SS_GPU_DEEP_INT8)
    d = __builtin_amdgcn_mfma_i32_16x16x32_i8(bits_as<long>(a), bits_as<long>(b), d, 0, 0, 0);
#else
    d = __builtin_amdgcn_mfma_i32_16x16x16i8(bits_as<int>(a), bits_as<int>(b), d, 0, 0, 0);
#endif
  }
#else
  if constexpr (std::is_same_v<Input, Bf16>) {
    using Short16 = __attribute__((ext_vector_type(16))) short;
    d = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(bits_as<Short16>(a), bits_as<Short16>(b), d);
  } else {
    using Int4 = __attribute__((ext_vector_type(4))) int;  // 16 values of int8
    d = __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32(true, bits_as<Int4>(a), true, bits_as<Int4>(b), d, false);
  }
#endif
  c = bits_as<Accumulator<Input> >(d);
#else
  (void)c, (void)a, (void)b;  // host pass: never runs
#endif
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
