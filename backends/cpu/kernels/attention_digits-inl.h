#pragma once
// How attention_integers-inl.h stores numbers and multiplies them by vpdpbusd (byte_products-inl.h). A number n is two digits of one byte:
//
//   n = 256 h + l,   |n| <= 32512, h and l signed     in queries
//                    n <= 65535, h and l unsigned     in weights
//
// Hence |e| is about 2^-16 max|q| for queries, and 2^-17 of the maximum for weights. Sums of scores are exact for up to 2^15 dimensions,
// and those of values for the 128 tokens of a block.

#include "cpu/kernels/attention_integers-inl.h"
#include "cpu/kernels/byte_products-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The value of two digits, or of two sums of products with them.
inline F32 value_of_pair(const I32& high, const I32& low) {
  return fma(to_f32(high), broadcast(256.0F), to_f32(low));
}

/// 127 * 256, so that the first digit is from -127 to 127 and the second from -128 to 127.
inline constexpr float kLargestSignedPair = 32512.0F;
inline constexpr float kLargestUnsignedPair = 65535.0F;

/// ActType::kDigitPairs: packs rows into [k_padded / 4][n_rows][high, low][4] int8, with u as the scale of a row.
inline void pack_digit_pairs(const PackArgs& args) {
  constexpr std::int64_t kQuadBytes = 4;
  const std::int64_t step_bytes = std::int64_t{args.n_rows} * 2 * kQuadBytes;
  for (int m = 0; m < args.n_rows; ++m) {
    const float* const x = args.x + m * args.x_stride;
    const float unit = unit_of(abs_max(x, args.k), kLargestSignedPair);
    args.row_scales[m] = unit;
    std::byte* out = static_cast<std::byte*>(args.out) + m * 2 * kQuadBytes;
    for (std::int64_t k = 0; k < args.k_padded; k += 16) {
      const F32 values = k < args.k ? load_some(x + k, args.k - k) : zero();
      const I32 pairs = to_i32(mul(values, broadcast(1.0F / unit)));
      alignas(16) std::byte high[16];
      alignas(16) std::byte low[16];
      // The low byte is l modulo 256. From 128 on it stands for a negative l, and the addition of 128 carries a one into h to make up for
      // it.
      store_bytes<false>(low, pairs);
      store_bytes<false>(high, shifted_bits<8, 0xffffffffU>(add_i32(pairs, to_i32(broadcast(128.0F)))));
      for (std::int64_t i = 0; i < 16 && k + i < args.k_padded; i += kQuadBytes, out += step_bytes) {
        __builtin_memcpy(out, high + i, kQuadBytes);
        __builtin_memcpy(out + kQuadBytes, low + i, kQuadBytes);
      }
    }
  }
}

/// Packs activations as ActType::kDigitPairs; other types are packed by kOthers.
template <void (*kOthers)(const PackArgs&)>
void pack_with_digit_pairs(const PackArgs& args) {
  if (args.act == ActType::kDigitPairs) return pack_digit_pairs(args);
  kOthers(args);
}

/// Query rows that are multiplied at once. With AVX-512 the digits of four dimensions of this many rows fill one register (ScoreOffsets);
/// with AVX2 the sums of this many rows take 12 of the 16 registers.
inline constexpr int kDigitQueryRows = kRowBlock >= 12 ? 8 : 3;

/// Corrections that are added to the sums of scores. The left operand of the instruction is unsigned, so K is multiplied as k + 128, and
/// each sum is too large by 128 times the sum of its row's digits.
class ScoreOffsets {
 public:
  /// q: as pack_digit_pairs() packs n_rows rows.
  ScoreOffsets(const std::byte* q, int n_rows, std::int64_t head_dim) {
    // In a step each row has two lanes: the first digits of four dimensions, and the second ones.
    static_assert(2 * kDigitQueryRows <= 16);
    constexpr std::uint8_t kOnes[4] = {1, 1, 1, 1};
    const I32 ones = four_bytes(kOnes);
    I32 sums = zero_i32();
    for (std::int64_t k = 0; k < head_dim; k += 4, q += 8 * n_rows) {
      add_products_in_place(sums, ones, load_lanes(q, 2 * n_rows));
    }
    store_i32(offsets_, sub_i32(zero_i32(), shifted_bits<-7, 0xffffffffU>(sums)));
  }
  [[nodiscard]] I32 high(int m) const { return four_bytes(offsets_ + 2 * m); }
  [[nodiscard]] I32 low(int m) const { return four_bytes(offsets_ + 2 * m + 1); }

 private:
  alignas(64) std::int32_t offsets_[16];
};

/// As score_tiles(). It is not inlined, because g++ 12 keeps the sums in memory if it is inlined into a large function.
template <int kRows, int kTiles>
[[gnu::noinline]] void score_digit_tiles(const AttendArgs& args, const std::byte* q, const ScoreOffsets& offsets,
                                         int first_row, int first_tile, Prefetcher& v_prefetcher) {
  I32 high[kRows][kTiles];
  I32 low[kRows][kTiles];
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) high[m][t] = low[m][t] = zero_i32();
  }
  const std::byte* const* const k = args.k_tiles + first_tile;
  const std::int64_t bytes = args.head_dim / 4 * 64;
  for (std::int64_t at = 0; at < bytes; at += 64, q += 8 * kRows) {
    I32 tokens[kTiles];
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) {
      v_prefetcher.next_line_in_product<kTiles>(at / 64, t);
      tokens[t] = flipped_bits<0x80808080U>(load_i32(k[t] + at));
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) {
      const I32 q_high = four_bytes(q + 8 * m);
      const I32 q_low = four_bytes(q + 8 * m + 4);
#pragma GCC unroll 4
      for (int t = 0; t < kTiles; ++t) {
        add_products_in_place(high[m][t], tokens[t], q_high);
        add_products_in_place(low[m][t], tokens[t], q_low);
      }
    }
  }
  store_scores<kRows, kTiles>(args, first_row, first_tile, [&](int m, int t) {
    return value_of_pair(add_i32(high[m][t], offsets.high(m)), add_i32(low[m][t], offsets.low(m)));
  });
}

/// Stores n weights, a multiple of 16 and none below 0, as digits. Returns their unit; NaN if one is NaN.
inline float store_digit_weights(const float* weights, int n, std::byte* digits) {
  // The bits of numbers that are not negative have the same order as integers, and those of NaN are above them all.
  I32 largest = zero_i32();
  for_vectors(0, n, [&](int i) { largest = max_unsigned(largest, load_i32(weights + i)); });
  const unsigned bits = reduce_max_unsigned(largest);
  float maximum;
  __builtin_memcpy(&maximum, &bits, sizeof maximum);
  const float unit = unit_of(maximum, kLargestUnsignedPair);
  const F32 per_unit = broadcast(1.0F / unit);
  for_vectors(0, n, [&](int i) {
    const I32 pairs = to_i32(mul(load(weights + i), per_unit));
    store_bytes<false>(digits + i, shifted_bits<8, 0xffffffffU>(pairs));
    store_bytes<false>(digits + kBlockTokens + i, pairs);
  });
  return unit;
}

/// As value_tiles(), for weights in digits. units: what store_digit_weights() returned for each row.
template <int kRows, int kTiles>
[[gnu::noinline]] void value_digit_tiles(const AttendArgs& args, const float* rescale, const float* units,
                                         int first_row, int first_dim_tile, Prefetcher& k_prefetcher) {
  const std::byte* weights = static_cast<const std::byte*>(args.weights) + first_row * kWeightRowBytes;
  I32 high[kRows][kTiles];
  I32 low[kRows][kTiles];
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) high[m][t] = low[m][t] = zero_i32();
  }
  for (int token_tile = 0; token_tile < args.n_tiles; ++token_tile) {
    const std::byte* v = args.v_tiles[token_tile] + first_dim_tile * args.v_dim_stride;
    for (int step = 0; step < kTileRows / 4; ++step, v += 64, weights += 4) {
      I32 values[kTiles];
#pragma GCC unroll 4
      for (int t = 0; t < kTiles; ++t) {
        k_prefetcher.next_line_in_product<kTiles>(token_tile * (kTileRows / 4) + step, t);
        values[t] = load_i32(v + t * args.v_dim_stride);
      }
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) {
        const I32 w_high = four_bytes(weights + m * kWeightRowBytes);
        const I32 w_low = four_bytes(weights + m * kWeightRowBytes + kBlockTokens);
#pragma GCC unroll 4
        for (int t = 0; t < kTiles; ++t) {
          add_products_in_place(high[m][t], w_high, values[t]);
          add_products_in_place(low[m][t], w_low, values[t]);
        }
      }
    }
  }
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) {
      keep_in_registers(high[m][t]);
      keep_in_registers(low[m][t]);
    }
  }
  add_values<kRows, kTiles>(args, rescale, units, first_row, first_dim_tile,
                            [&](int m, int t) { return value_of_pair(high[m][t], low[m][t]); });
}

/// The form of queries that are packed as kDigitPairs.
struct DigitPairForm {
  static constexpr int kQueryRows = kDigitQueryRows;
  using Queries = ScoreOffsets;

  template <int kRows, int kTiles>
  static void score_tiles(const AttendArgs& args, const std::byte* q, const ScoreOffsets& offsets, int first_row,
                          int first_tile, Prefetcher& v_prefetcher) {
    score_digit_tiles<kRows, kTiles>(args, q, offsets, first_row, first_tile, v_prefetcher);
  }
  static float store_weights(const float* weights, int n, std::byte* digits) {
    return store_digit_weights(weights, n, digits);
  }
  template <int kRows, int kTiles>
  static void value_tiles(const AttendArgs& args, const float* rescale, const float* units, int first_row,
                          int first_dim_tile, Prefetcher& k_prefetcher) {
    value_digit_tiles<kRows, kTiles>(args, rescale, units, first_row, first_dim_tile, k_prefetcher);
  }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
