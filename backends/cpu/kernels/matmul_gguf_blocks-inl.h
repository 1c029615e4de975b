#pragma once
// The blocks of GGUF other than q4_k, q5_k and q6_k: their product with one row of f32 activations, and how they are unpacked to f32 tiles
// [k][16], from which more rows are multiplied.
//
//   w[n, k] = d * q[n, k] - least                               q4_1, q5_0, q5_1, iq4_nl; without a minimum in q5_0 and iq4_nl
//   w[n, k] = (d * s[part]) * q[n, k] - (dmin * m[part])        q2_k, q3_k, iq4_xs; without minima in q3_k and iq4_xs
//
// Each type of blocks is a struct like those of matmul_k_blocks-inl.h: it has kColumns columns in kBytes bytes, laid out as kernel_table.h
// says, and for_each_eight(). Products of scales and codes are exact in f32, so that the values have the bits of ggml's dequantization.

#include "cpu/kernels/matmul_k_blocks-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Codes of four bits, which are indices in kCurvePlus128.
struct CurveCodes : CodeBytes {
  explicit CurveCodes(const I32& lanes)
      : CodeBytes{look_up(kCurvePlus128, shifted_bits<0, 0x0f0f0f0fU>(lanes)),
                  look_up(kCurvePlus128, shifted_bits<4, 0x0f0f0f0fU>(lanes))} {}

  template <int kColumn>
  [[nodiscard]] F32 column() const {
    return byte_of_column<kColumn>(*this);
  }
};

/// Columns 8 kHalf to 8 kHalf + 7 of a part of 16: codes of two bits.
template <int kHalf>
struct TwoBitCodes {
  I32 lanes;

  template <int kColumn>
  [[nodiscard]] F32 column() const {
    constexpr int kPlace = kNibblePlace<kColumn>;
    return unsigned_field<kPlace / 8 * 8 + 4 * kHalf + (kPlace % 8 == 0 ? 0 : 2), 2>(lanes);
  }
  [[nodiscard]] CodeBytes bytes() const {
    return {shifted_bits<4 * kHalf, 0x03030303U>(lanes), shifted_bits<4 * kHalf + 2, 0x03030303U>(lanes)};
  }
};

/// The same for codes of three bits, whose third bits are in `high`. kPart: which of the two parts that `high` has bits for, 0 or 1.
template <int kPart, int kHalf>
struct ThreeBitCodes : CodeBytes {
  ThreeBitCodes(const I32& lanes, const I32& high)
      : CodeBytes{add_i32(shifted_bits<4 * kHalf, 0x03030303U>(lanes),
                          shifted_bits<4 * kPart + 2 * kHalf - 2, 0x04040404U>(high)),
                  add_i32(shifted_bits<4 * kHalf + 2, 0x03030303U>(lanes),
                          shifted_bits<4 * kPart + 2 * kHalf - 1, 0x04040404U>(high))} {}

  template <int kColumn>
  [[nodiscard]] F32 column() const {
    return byte_of_column<kColumn>(*this);
  }
};

/// Calls use(EightWeights, first) for the vector of eight columns whose nibbles begin at `vector`. kVector: its number (0 to 3) in the
/// group, whose fifth bits are at `fifth_bits`.
template <bool kHasFifthBits, bool kIsOnCurve, int kVector, typename Use>
[[gnu::always_inline]] inline void use_nibbles(const std::byte* vector, const std::byte* fifth_bits, const F32& scale,
                                               const F32& offset, int first, const Use& use) {
  prefetch(vector + kBlockPrefetchBytes);
  const I32 lanes = load_i32(vector);
  if constexpr (kHasFifthBits) {
    using Codes = EightCodes<1, 2 * kVector>;
    use(EightWeights<Codes>{Codes(lanes, load_i32(fifth_bits)), scale, offset}, first);
  } else if constexpr (kIsOnCurve) {
    use(EightWeights<CurveCodes>{CurveCodes(lanes), scale, offset}, first);
  } else {
    use(EightWeights<EightNibbles>{{lanes}, scale, offset}, first);
  }
}

/// The four vectors of a group of 32 columns.
template <bool kHasFifthBits, bool kIsOnCurve, typename Use>
[[gnu::always_inline]] inline void use_group(const std::byte* group, const F32& scale, const F32& offset, int first,
                                             const Use& use) {
  const std::byte* const fifth_bits = group + kNibbleBytes;
  if constexpr (kHasFifthBits) prefetch(fifth_bits + kBlockPrefetchBytes);
  use_nibbles<kHasFifthBits, kIsOnCurve, 0>(group, fifth_bits, scale, offset, first, use);
  use_nibbles<kHasFifthBits, kIsOnCurve, 1>(group + 64, fifth_bits, scale, offset, first + 8, use);
  use_nibbles<kHasFifthBits, kIsOnCurve, 2>(group + 128, fifth_bits, scale, offset, first + 16, use);
  use_nibbles<kHasFifthBits, kIsOnCurve, 3>(group + 192, fifth_bits, scale, offset, first + 24, use);
}

/// A block of 32 columns, which has a scale, and with kHasMinimum a minimum; without one, codes are stored plus kZero.
template <bool kWithFifthBits, bool kWithCurve, bool kWithMinimum, int kStoredPlus>
struct GroupBlock {
  static constexpr bool kHasFifthBits = kWithFifthBits;
  static constexpr bool kIsOnCurve = kWithCurve;
  static constexpr bool kHasMinimum = kWithMinimum;
  static constexpr int kZero = kStoredPlus;
  static constexpr int kColumns = kGroupColumns;
  static constexpr int kScalesAt = 16 * kGroupColumns * (kHasFifthBits ? 5 : 4) / 8;
  static constexpr int kBytes = kScalesAt + (kHasMinimum ? 2 : 1) * 16 * 2;

  template <typename Use>
  [[gnu::always_inline]] static void for_each_eight(const std::byte* block, const Use& use) {
    const F32 scale = load_f16(block + kScalesAt);
    const F32 offset = kHasMinimum ? mul(load_f16(block + kScalesAt + 32), broadcast(-1.0F))
                                   : mul(scale, broadcast(static_cast<float>(-kZero)));
    use_group<kHasFifthBits, kIsOnCurve>(block, scale, offset, 0, use);
  }
};
using Q41Block = GroupBlock<false, false, true, 0>;
using Q50Block = GroupBlock<true, false, false, 16>;
using Q51Block = GroupBlock<true, false, true, 0>;
using Iq4NlBlock = GroupBlock<false, true, false, 128>;
static_assert(Q41Block::kBytes == kQ41GroupBytes && Q50Block::kBytes == kQ50GroupBytes);
static_assert(Q51Block::kBytes == kQ51GroupBytes && Iq4NlBlock::kBytes == kIq4NlGroupBytes);

struct Iq4XsBlock {
  static constexpr int kColumns = kBlockColumns;
  static constexpr int kBytes = kIq4XsBlockBytes;

  template <typename Use>
  [[gnu::always_inline]] static void for_each_eight(const std::byte* block, const Use& use) {
    const F32 unit = load_f16(block + kBlockGroups * kIq4XsGroupBytes);
    for (int group = 0; group < kBlockGroups; ++group, block += kIq4XsGroupBytes) {
      const F32 scale = mul(load_i8(block + kNibbleBytes), unit);
      use_group<false, true>(block, scale, mul(scale, broadcast(-128.0F)), group * kGroupColumns, use);
    }
  }
};

/// q2_k, or with kHasThirdBits q3_k.
template <bool kHasThirdBits>
struct QuadBlock {
  static constexpr int kColumns = kBlockColumns;
  static constexpr int kBytes = kHasThirdBits ? kQ3KBlockBytes : kQ2KBlockBytes;

  template <typename Use>
  [[gnu::always_inline]] static void for_each_eight(const std::byte* block, const Use& use) {
    const std::byte* const units = block + kBlockQuads * kQuadBytes;
    const F32 unit = load_f16(units);
    const F32 least_unit = kHasThirdBits ? zero() : mul(load_f16(units + 32), broadcast(-1.0F));
    for (int quad = 0; quad < kBlockQuads; ++quad, block += kQuadBytes) {
      const I32 parts = load_i32(block + kQuadBytes - 64);
      const int first = quad * kQuadParts * kPartColumns;
      prefetch(block + kBlockPrefetchBytes + kQuadBytes - 64);
      use_part<0>(block, parts, unit, least_unit, first, use);
      use_part<1>(block, parts, unit, least_unit, first + kPartColumns, use);
      use_part<2>(block, parts, unit, least_unit, first + 2 * kPartColumns, use);
      use_part<3>(block, parts, unit, least_unit, first + 3 * kPartColumns, use);
    }
  }

 private:
  static constexpr int kQuadBytes = kHasThirdBits ? kQ3KQuadBytes : kQ2KQuadBytes;

  /// 16 columns, from column `first` of the block on.
  template <int kPart, typename Use>
  [[gnu::always_inline]] static void use_part(const std::byte* quad, const I32& parts, const F32& unit,
                                              const F32& least_unit, int first, const Use& use) {
    prefetch(quad + kBlockPrefetchBytes + 64 * kPart);
    const I32 lanes = load_i32(quad + 64 * kPart);
    if constexpr (kHasThirdBits) {
      const F32 scale = mul(sub(unsigned_field<8 * kPart, 8>(parts), broadcast(32.0F)), unit);
      const F32 offset = mul(scale, broadcast(-4.0F));
      const std::byte* const third_bits = quad + 64 * kQuadParts + 64 * (kPart / 2);
      if constexpr (kPart % 2 == 0) prefetch(third_bits + kBlockPrefetchBytes);
      const I32 high = load_i32(third_bits);
      using First = ThreeBitCodes<kPart % 2, 0>;
      using Second = ThreeBitCodes<kPart % 2, 1>;
      use(EightWeights<First>{First(lanes, high), scale, offset}, first);
      use(EightWeights<Second>{Second(lanes, high), scale, offset}, first + 8);
    } else {
      const F32 scale = mul(unsigned_field<8 * kPart, 4>(parts), unit);
      const F32 offset = mul(unsigned_field<8 * kPart + 4, 4>(parts), least_unit);
      use(EightWeights<TwoBitCodes<0>>{{lanes}, scale, offset}, first);
      use(EightWeights<TwoBitCodes<1>>{{lanes}, scale, offset}, first + 8);
    }
  }
};
using Q2KBlock = QuadBlock<false>;
using Q3KBlock = QuadBlock<true>;

/// Registers the kernel for one row, and the unpacking for three rows and more. q4_k, q5_k and q6_k have a kernel for each number of rows,
/// which the compiler makes for every instruction set; these types have not. Two rows are multiplied one by one, which is as fast as
/// unpacking them.
template <typename Block>
void use_blocks(KernelTable& table, Product product, const char* name) {
  table.products[int(product)] = {ActType::kF32, 1, Block::kColumns, 1, multiply_k_blocks_of<Block, 1>, name};
  table.unpack[int(product)] = {.into = Product::kF32, .unpack = k_block_tile_to_f32<Block>, .from_rows = 3};
}

inline void use_gguf_blocks(KernelTable& table) {
  use_blocks<Q2KBlock>(table, Product::kQ2K, "matmul_q2k_f32acc");
  use_blocks<Q3KBlock>(table, Product::kQ3K, "matmul_q3k_f32acc");
  use_blocks<Iq4XsBlock>(table, Product::kIq4Xs, "matmul_iq4xs_f32acc");
  use_blocks<Q41Block>(table, Product::kQ41, "matmul_q4_1_f32acc");
  use_blocks<Q50Block>(table, Product::kQ50, "matmul_q5_0_f32acc");
  use_blocks<Q51Block>(table, Product::kQ51, "matmul_q5_1_f32acc");
  use_blocks<Iq4NlBlock>(table, Product::kIq4Nl, "matmul_iq4nl_f32acc");
}

}  // namespace secondsource::cpu::SS_CPU_ISA
