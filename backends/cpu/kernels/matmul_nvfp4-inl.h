#pragma once
// NVFP4: E2M1 codes with a scale in E4M3 for 16 columns. Tiles are blocks of 64 columns, laid out as kernel_table.h says. The kernels
// compute
//
//   c[m, n] = sum_g scale[n, g] * sum_{k in g} q[n, k] x[m, k]
//
// The epilogue multiplies this by the global scale of the weight, as it does with other scales of rows. A product of a scale and a code has
// six significant bits, so that unpacked weights are exact in BF16, too.
//
// Nvfp4Block: one row of f32 activations, and unpacking (matmul_gguf_blocks-inl.h). matmul_codes-inl.h multiplies few rows in digits, or in
// BF16.

#include "cpu/kernels/matmul_gguf_blocks-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Eight columns of 16 weights: scale * code, exact in f32.
struct ScaledE2m1 {
  I32 lanes;
  F32 scale;

  template <int kColumn>
  [[nodiscard]] F32 column() const {
    return mul(e2m1_at<kNibblePlace<kColumn>>(lanes), scale);
  }
};

struct Nvfp4Block {
  static constexpr int kColumns = kNvfp4BlockColumns;
  static constexpr int kBytes = kNvfp4BlockBytes;

  template <typename Use>
  [[gnu::always_inline]] static void for_each_eight(const std::byte* block, const Use& use) {
    const I32 scales = load_i32(block + kBytes - 64);
    prefetch(block + kBlockPrefetchBytes + kBytes - 64);
    use_part<0>(block, scales, use);
    use_part<1>(block, scales, use);
    use_part<2>(block, scales, use);
    use_part<3>(block, scales, use);
  }

 private:
  /// 16 columns, which share a scale.
  template <int kPart, typename Use>
  [[gnu::always_inline]] static void use_part(const std::byte* block, const I32& scales, const Use& use) {
    const std::byte* const vectors = block + 128 * kPart;
    const F32 scale = e4m3_at<8 * kPart>(scales);
    prefetch(vectors + kBlockPrefetchBytes);
    prefetch(vectors + kBlockPrefetchBytes + 64);
    use(ScaledE2m1{load_i32(vectors), scale}, kPart * kPartColumns);
    use(ScaledE2m1{load_i32(vectors + 64), scale}, kPart * kPartColumns + 8);
  }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
