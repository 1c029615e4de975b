#pragma once
// What matmul policies for dot-product instructions share, whatever the instruction: how a tile lies in memory and how
// accumulators begin and merge. Each instruction set adds step(), and result() for int8. Formulas, shapes and aliasing are
// those of matmul-inl.h.

#ifndef SS_CPU_ISA  // compiled on its own: see target-inl.h
#define SS_CPU_ISA avx512_bf16
#define SS_CPU_SIMD_AVX512
#endif

#include "cpu/kernels/matmul-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// BF16 weights and activations, summed in f32 by pairs. Tile: [k / 2][16][2].
struct Bf16Pairs : PlainF32 {
  using Act = std::uint16_t;
  using Weights = I32;
  static constexpr int kVec = 2;
  static constexpr int kStepBytes = 64;
  static Weights decode(const std::byte* p) { return load_i32(p); }
};

/// int8 weights, int8 activations stored as q + 128: sum_k (q + 128) w - 128 sum_k w. Exact in int32 up to 2^16 columns.
/// Tile: [k / 4][16][4].
struct U8Quads {
  using Act = std::uint8_t;
  using Acc = I32;
  using Weights = I32;
  static constexpr int kActOffset = 128;
  static constexpr int kVec = 4;
  static constexpr int kStepBytes = 64;
  [[gnu::always_inline]] static void prefetch_ahead(const std::byte* p) { prefetch(p + kPrefetchBytes); }
  static Weights decode(const std::byte* p) { return load_i32(p); }
  static Acc init() { return zero_i32(); }
  static Acc merge(const Acc& x, const Acc& y) { return add_i32(x, y); }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
