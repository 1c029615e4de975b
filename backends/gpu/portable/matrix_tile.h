#pragma once
// Matrix cores behind one interface: a warp multiplies tiles of 16 x 16 x 16, BF16 in, f32 out. How the elements of a
// tile are spread over lanes is the target's own and stays in here; kernels load from shared memory and ask where an
// accumulator's elements belong.
//
//   Accumulator c = {};
//   multiply(c, load_a(x, stride), load_b(w, stride));         // c[m, n] += sum_k x[m, k] * w[n, k]
//   for (int i = 0; i < kAccumulators; ++i) out[accumulator_row(i)][accumulator_col(i)] = c.value[i];
//
// Layouts: mma.m16n8k16, PTX ISA 8, "Matrix Fragments for mma.m16n8k16 with floating point type"; MFMA
// v_mfma_f32_16x16x16_bf16, "AMD Instinct MI200 / CDNA3 Instruction Set Architecture", section on matrix instructions;
// WMMA v_wmma_f32_16x16x16_bf16, "RDNA3 Instruction Set Architecture", section 7.9. shim/fragments.cpp has them a
// second time, as data.

#include "gpu/portable/storage.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

inline constexpr int kTile = 16;  ///< rows, columns and inner extent of a tile

#if defined(SS_GPU_TILE_MMA)
inline constexpr int kInputs = 8;  ///< BF16 values of A, or of B, that a lane holds
inline constexpr int kAccumulators = 8;
#elif defined(SS_GPU_TILE_MFMA)
inline constexpr int kInputs = 4;
inline constexpr int kAccumulators = 4;
#else
inline constexpr int kInputs = 16;
inline constexpr int kAccumulators = 8;
#endif

/// A lane's share of a 16 x 16 tile of A or B.
struct alignas(8) Fragment {
  Bf16 value[kInputs];
};

/// A lane's share of a 16 x 16 tile of sums.
struct Accumulator {
  float value[kAccumulators];
};

/// Row of A, and column of B, of this lane's i-th value; input_k() is the other coordinate.
#if defined(SS_GPU_TILE_MMA)
// A holds the quadrants (rows 0-7 | 8-15) x (k 0-7 | 8-15) in the order 00, 10, 01, 11. Two n8 operands make a B of 16
// columns: the first half of the values are columns 0-7, each half has k 0-7, then 8-15.
SS_DEVICE int a_row(int i) {
  return lane() / 4 + (i / 2 % 2) * 8;
}
SS_DEVICE int a_k(int i) {
  return lane() % 4 * 2 + i % 2 + (i / 4) * 8;
}
SS_DEVICE int b_col(int i) {
  return lane() / 4 + (i / 4) * 8;
}
SS_DEVICE int b_k(int i) {
  return lane() % 4 * 2 + i % 2 + (i / 2 % 2) * 8;
}
SS_DEVICE int accumulator_row(int i) {
  return lane() / 4 + (i / 2 % 2) * 8;
}
SS_DEVICE int accumulator_col(int i) {
  return lane() % 4 * 2 + i % 2 + (i / 4) * 8;
}
inline constexpr int kRun = 2;  ///< values of a lane that are neighbours in k
#elif defined(SS_GPU_TILE_MFMA)
SS_DEVICE int a_row(int) {
  return lane() % 16;
}
SS_DEVICE int a_k(int i) {
  return lane() / 16 * 4 + i;
}
SS_DEVICE int b_col(int) {
  return lane() % 16;
}
SS_DEVICE int b_k(int i) {
  return lane() / 16 * 4 + i;
}
SS_DEVICE int accumulator_row(int i) {
  return lane() / 16 * 4 + i;  // four rows a quarter of the wave
}
SS_DEVICE int accumulator_col(int) {
  return lane() % 16;
}
inline constexpr int kRun = 4;
#else
// Both halves of the wave hold the same A and B; rows of the sums alternate between them.
SS_DEVICE int a_row(int) {
  return lane() % 16;
}
SS_DEVICE int a_k(int i) {
  return i;
}
SS_DEVICE int b_col(int) {
  return lane() % 16;
}
SS_DEVICE int b_k(int i) {
  return i;
}
SS_DEVICE int accumulator_row(int i) {
  return i * 2 + lane() / 16;
}
SS_DEVICE int accumulator_col(int) {
  return lane() % 16;
}
inline constexpr int kRun = 4;  // of 16: what an 8-byte load takes
#endif

/// kRun neighbours in k at once.
struct alignas(kRun * 2) InputRun {
  Bf16 value[kRun];
};

/// A[m, k] = tile[m * stride + k]; rows begin at multiples of 8 bytes.
SS_DEVICE Fragment load_a(const Bf16* tile, int stride) {
  Fragment a;
  SS_UNROLL
  for (int i = 0; i < kInputs; i += kRun) {
    const InputRun run = *reinterpret_cast<const InputRun*>(tile + a_row(i) * stride + a_k(i));
    SS_UNROLL
    for (int j = 0; j < kRun; ++j) a.value[i + j] = run.value[j];
  }
  return a;
}

/// B[k, n] = tile[n * stride + k]: rows of a weight as they are stored.
SS_DEVICE Fragment load_b(const Bf16* tile, int stride) {
  Fragment b;
  SS_UNROLL
  for (int i = 0; i < kInputs; i += kRun) {
    const InputRun run = *reinterpret_cast<const InputRun*>(tile + b_col(i) * stride + b_k(i));
    SS_UNROLL
    for (int j = 0; j < kRun; ++j) b.value[i + j] = run.value[j];
  }
  return b;
}

/// B[k, n] = tile[k * stride + n]: cached values, a token a row.
SS_DEVICE Fragment load_b_transposed(const Bf16* tile, int stride) {
  Fragment b;
  SS_UNROLL
  for (int i = 0; i < kInputs; ++i) b.value[i] = tile[b_k(i) * stride + b_col(i)];
  return b;
}

/// c += a b. The whole warp takes part.
SS_DEVICE void multiply(Accumulator& c, const Fragment& a, const Fragment& b) {
#if defined(SS_GPU_SHIM)
  shim::multiply_tile(shim::TileLayout::SS_GPU_TARGET, c.value, a.value, b.value);
#elif defined(__CUDA_ARCH__)
  std::uint32_t ra[4];
  std::uint32_t rb[4];
  memcpy(ra, &a, sizeof(ra));
  memcpy(rb, &b, sizeof(rb));
  SS_UNROLL
  for (int half = 0; half < 2; ++half) {
    float* const d = c.value + half * 4;
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[half * 2]), "r"(rb[half * 2 + 1]));
  }
#elif defined(__HIP_DEVICE_COMPILE__)
#if defined(SS_GPU_TILE_MFMA)
  using Short4 = __attribute__((ext_vector_type(4))) short;
  using Float4 = __attribute__((ext_vector_type(4))) float;
  Float4 d = bits_as<Float4>(c);
  d = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(bits_as<Short4>(a), bits_as<Short4>(b), d, 0, 0, 0);
  c = bits_as<Accumulator>(d);
#else
  using Short16 = __attribute__((ext_vector_type(16))) short;
  using Float8 = __attribute__((ext_vector_type(8))) float;
  Float8 d = bits_as<Float8>(c);
  d = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(bits_as<Short16>(a), bits_as<Short16>(b), d);
  c = bits_as<Accumulator>(d);
#endif
#else
  (void)c, (void)a, (void)b;  // a pass for the host: never runs
#endif
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
