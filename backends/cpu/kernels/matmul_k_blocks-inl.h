#pragma once
// Matmul of q4_k, q5_k and q6_k weights, the blocks of 256 columns of GGUF, with f32 activations, and their unpacking to f32 tiles [k][16]:
//
//   w[n, k] = (d * s[k / 32]) * q[n, k] - (dmin * m[k / 32])    q4_k, q5_k
//   w[n, k] = (d * s[k / 16]) * q[n, k]                         q6_k
//
// The products d * s and dmin * m are exact in f32, and each weight is rounded to f32 once, as ggml dequantizes it. So the values have the
// same bits as those of ggml, except for the sign of a zero in q6_k. a: [k][n_rows] f32. Tiles: blocks as kernel_table.h lays them out,
// 32-byte aligned at the tile's start only. c: [n_rows, 16 * n_tiles] f32, overlapping neither. Everything is accumulated in f32.

#include "cpu/kernels/matmul_groups-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

// How far ahead the kernels of GGUF blocks, and those of matmul_codes-inl.h, prefetch weights. Two threads of a Xeon with AMX read 28 GB/s
// from memory (November 2026). One row of activations in digits reaches these rates there, in GB/s (best of six passes, means of two to
// four turns):
//
//   distance   1 KiB   2 KiB   3 KiB   4 KiB   6 KiB
//   q4_k        21.9    23.0    23.0    17.4    21.6
//   q6_k        19.2    20.6    21.2    20.6    20.2
//   int4        22.7    23.1    22.7    21.2    19.6
//
// Prefetching into the second-level cache, 4 to 16 KiB ahead, gives q4_k 22.0 to 23.1. It is not used, because int4 was slow with it on a
// Zen 4 (matmul_bf16_dot-inl.h).
inline constexpr std::int64_t kBlockPrefetchBytes = 3072;

/// The codes of eight columns of 16 rows, one in each byte: those in the low nibbles of an int4 tile's vector (columns 0, 4, 1 and 5), and
/// those in its high nibbles (columns 2, 6, 3 and 7).
struct CodeBytes {
  I32 of_low_nibbles, of_high_nibbles;
};

/// The codes of one column, as f32.
template <int kColumn>
inline F32 byte_of_column(const CodeBytes& codes) {
  constexpr int kPlace = kNibblePlace<kColumn>;
  return unsigned_field<kPlace / 8 * 8, 8>(kPlace % 8 == 0 ? codes.of_low_nibbles : codes.of_high_nibbles);
}

/// Codes of more than four bits. The low four are the nibbles of `lanes`. The kBits above them are in the byte of `high` that is in the
/// same place as the byte of the nibble: from bit kFirstBit on for a low nibble, and from bit kFirstBit + kBits on for a high one.
template <int kBits, int kFirstBit>
struct EightCodes : CodeBytes {
  EightCodes(const I32& lanes, const I32& high)
      : CodeBytes{add_i32(shifted_bits<0, kNibbles>(lanes), shifted_bits<kFirstBit - 4, kAbove>(high)),
                  add_i32(shifted_bits<4, kNibbles>(lanes), shifted_bits<kFirstBit + kBits - 4, kAbove>(high))} {}

  template <int kColumn>
  [[nodiscard]] F32 column() const {
    return byte_of_column<kColumn>(*this);
  }

 private:
  static constexpr std::uint32_t kNibbles = 0x0f0f0f0fU;
  static constexpr std::uint32_t kAbove = ((1U << kBits) - 1U) * 0x10101010U;
};

/// Codes of four bits, which are widened from the nibbles themselves.
struct EightNibbles {
  I32 lanes;

  template <int kColumn>
  [[nodiscard]] F32 column() const {
    return unsigned_field<kNibblePlace<kColumn>, 4>(lanes);
  }
};

/// Eight columns of 16 weights: scale * code + offset.
template <typename Codes>
struct EightWeights {
  Codes codes;
  F32 scale, offset;

  template <int kColumn>
  [[nodiscard]] F32 column() const {
    return fma(codes.template column<kColumn>(), scale, offset);
  }
};

// The functions below have to be inlined, since the accumulators would be in memory otherwise. Without the attribute g++ 12 does not inline
// them for two rows and more on AVX2, and the products take twice the time.

/// Calls use.operator()<kColumn>() with each column of EightWeights.
template <typename Weights, typename Use>
[[gnu::always_inline]] inline void use_eight_columns(const Weights& weights, const Use& use) {
  use.template operator()<0>(weights.template column<0>());
  use.template operator()<1>(weights.template column<1>());
  use.template operator()<2>(weights.template column<2>());
  use.template operator()<3>(weights.template column<3>());
  use.template operator()<4>(weights.template column<4>());
  use.template operator()<5>(weights.template column<5>());
  use.template operator()<6>(weights.template column<6>());
  use.template operator()<7>(weights.template column<7>());
}

/// A block of q4_k or, with kHasHighBits, of q5_k.
template <bool kHasHighBits>
struct MinimaBlock {
  static constexpr int kColumns = kBlockColumns;
  static constexpr int kBytes = kHasHighBits ? kQ5KBlockBytes : kQ4KBlockBytes;

  /// Calls use(EightWeights, first) for each eight columns, which begin at column `first` of the block.
  template <typename Use>
  [[gnu::always_inline]] static void for_each_eight(const std::byte* block, const Use& use) {
    const F32 scale_unit = load_f16(block + kBlockGroups * kGroupBytes);
    const F32 least_unit = mul(load_f16(block + kBlockGroups * kGroupBytes + 32), broadcast(-1.0F));
    for (int group = 0; group < kBlockGroups; ++group, block += kGroupBytes) {
      const std::byte* const scales = block + kGroupBytes - 2 * 16;
      const F32 scale = mul(load_i8(scales), scale_unit);
      const F32 least = mul(load_i8(scales + 16), least_unit);
      prefetch(block + kBlockPrefetchBytes + kNibbleBytes);
      use_vector<0>(block, scale, least, group * kGroupColumns, use);
      use_vector<1>(block, scale, least, group * kGroupColumns, use);
      use_vector<2>(block, scale, least, group * kGroupColumns, use);
      use_vector<3>(block, scale, least, group * kGroupColumns, use);
    }
  }

 private:
  static constexpr int kGroupBytes = kHasHighBits ? kQ5KGroupBytes : kQ4KGroupBytes;

  template <int kVector, typename Use>
  [[gnu::always_inline]] static void use_vector(const std::byte* group, const F32& scale, const F32& least, int first,
                                                const Use& use) {
    prefetch(group + kBlockPrefetchBytes + kVector * 64);
    const I32 lanes = load_i32(group + kVector * 64);
    const int first_of_vector = first + kVector * 8;
    if constexpr (kHasHighBits) {
      using Codes = EightCodes<1, 2 * kVector>;
      use(EightWeights<Codes>{Codes(lanes, load_i32(group + kNibbleBytes)), scale, least}, first_of_vector);
    } else {
      use(EightWeights<EightNibbles>{{lanes}, scale, least}, first_of_vector);
    }
  }
};
using Q4KBlock = MinimaBlock<false>;
using Q5KBlock = MinimaBlock<true>;

struct Q6KBlock {
  static constexpr int kColumns = kBlockColumns;
  static constexpr int kBytes = kQ6KBlockBytes;

  template <typename Use>
  [[gnu::always_inline]] static void for_each_eight(const std::byte* block, const Use& use) {
    const F32 unit = load_f16(block + kBlockGroups * kQ6KGroupBytes);
    for (int half = 0; half < 2 * kBlockGroups; ++half) {
      const std::byte* const group = block + half / 2 * kQ6KGroupBytes;
      const int odd = half % 2;
      const F32 scale = mul(load_i8(group + kNibbleBytes + 128 + odd * 16), unit);
      // The codes are stored plus 32.
      const F32 offset = mul(scale, broadcast(-32.0F));
      const I32 high = load_i32(group + kNibbleBytes + odd * 64);
      prefetch(group + kBlockPrefetchBytes + odd * 192);
      prefetch(group + kBlockPrefetchBytes + odd * 192 + 64);
      prefetch(group + kBlockPrefetchBytes + odd * 192 + 128);
      use_half<0>(load_i32(group + odd * 128), high, scale, offset, half * 16, use);
      use_half<1>(load_i32(group + odd * 128 + 64), high, scale, offset, half * 16 + 8, use);
    }
  }

 private:
  /// Eight of the 16 columns that share a scale: the first or, with kSecond, the second eight.
  template <int kSecond, typename Use>
  [[gnu::always_inline]] static void use_half(const I32& lanes, const I32& high, const F32& scale, const F32& offset,
                                              int first, const Use& use) {
    using Codes = EightCodes<2, 4 * kSecond>;
    use(EightWeights<Codes>{Codes(lanes, high), scale, offset}, first);
  }
};

template <typename Block, int kRows>
void multiply_k_blocks_of(const TileArgs& args) {
  constexpr int kChains = kGroupChains<kRows>;
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const float*>(args.a);
    F32 sum[kChains][kRows];
#pragma GCC unroll 20
    for (int i = 0; i < kChains * kRows; ++i) sum[i / kRows][i % kRows] = zero();
    for (std::int64_t k = 0; k < args.k; k += Block::kColumns, w += Block::kBytes, x += Block::kColumns * kRows) {
      Block::for_each_eight(
          w, [&](const auto& weights, int first) __attribute__((always_inline)) {
            const float* const of_eight = x + first * kRows;
            use_eight_columns(
                weights, [&]<int kColumn>(const F32& of_column) __attribute__((always_inline)) {
#pragma GCC unroll 12
                  for (int m = 0; m < kRows; ++m) {
                    F32& to = sum[kColumn % kChains][m];
                    to = fma(of_column, broadcast(of_eight[kColumn * kRows + m]), to);
                  }
                });
          });
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) {
      F32 total = sum[0][m];
#pragma GCC unroll 4
      for (int i = 1; i < kChains; ++i) total = add(total, sum[i][m]);
      store(args.c + m * args.c_stride + tile * kTileRows, total);
    }
  }
}

template <typename Block>
void multiply_k_blocks(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_k_blocks_of<Block, kRows>(args); });
}

template <typename Block>
void k_block_tile_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  auto* to = reinterpret_cast<float*>(out);
  for (std::int64_t at = 0; at < k; at += Block::kColumns, tile += Block::kBytes, to += Block::kColumns * kTileRows) {
    Block::for_each_eight(
        tile, [&](const auto& weights, int first) __attribute__((always_inline)) {
          use_eight_columns(
              weights, [&]<int kColumn>(const F32& of_column)
                           __attribute__((always_inline)) { store(to + (first + kColumn) * kTileRows, of_column); });
        });
  }
}

}  // namespace secondsource::cpu::SS_CPU_ISA
