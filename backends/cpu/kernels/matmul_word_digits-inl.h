#pragma once
// Matmul of one row of activations by int8 and int8-g32 weights with vpmaddwd (word_products-inl.h). Each activation is two digits of 16
// bits, so that none is quantized:
//
//   x = s (w0 + w1 / 2^15) + e,   s = max|x| / 32767 of the row,   |w0| <= 32767,   |w1| <= 2^14 + 2^7
//
// w1 may exceed 2^14, because the reciprocal of s is rounded, so that x / s may be wrong by 2^-8 before it is rounded to w0. |e| is at most
// about 2^-31 max|x|, which is far below the rounding error of the f32 sums. The results c are in units of s.
//
// a: [k / 4][2][4] int16, each four columns in the order 0, 2, 1, 3. Tiles, c: as in matmul-inl.h and matmul_groups-inl.h.

#include "cpu/kernels/matmul_groups-inl.h"
#include "cpu/kernels/row_kernels-inl.h"
#include "cpu/kernels/word_products-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The worth of the second digit, in units of the first.
inline constexpr float kSecondWordUnit = 0x1p-15F;
/// The digits of four columns.
inline constexpr std::int64_t kWordsOfFour = 8;

/// ActType::kDigitWords: packs rows into [k_padded / 4][n_rows][2][4] int16. The scale of a row is NaN if any of its values is not finite.
inline void pack_digit_words(const PackArgs& args) {
  constexpr std::int64_t kQuadBytes = 4 * 2;
  const std::int64_t step_bytes = args.n_rows * 2 * kQuadBytes;
  for (int m = 0; m < args.n_rows; ++m) {
    const float* const x = args.x + m * args.x_stride;
    const float scale = unit_of(abs_max(x, args.k), float{kLargestWord}, kLeastDigitUnit);
    args.row_scales[m] = scale;
    std::byte* out = static_cast<std::byte*>(args.out) + m * 2 * kQuadBytes;
    for (std::int64_t k = 0; k < args.k_padded; k += 16) {
      const F32 values = k < args.k ? load_some(x + k, args.k - k) : zero();
      const F32 first = round_even(mul(values, broadcast(1.0F / scale)));
      const F32 rest = fma(first, broadcast(-scale), values);
      const F32 second = round_even(mul(rest, broadcast(1.0F / kSecondWordUnit / scale)));
      alignas(32) std::byte words[2][32];
      store_words<false>(words[0], to_i32(first));
      store_words<false>(words[1], to_i32(second));
      const std::int64_t n_quads = smaller(args.k_padded - k, 16) / 4;
      interleave_vecs<kQuadBytes>(words[0], n_quads, step_bytes, out);
      interleave_vecs<kQuadBytes>(words[1], n_quads, step_bytes, out + kQuadBytes);
      out += n_quads * step_bytes;
    }
  }
}

/// Packs activations as digits of 16 bits; other types are packed by kOthers.
template <void (*kOthers)(const PackArgs&)>
void pack_with_digit_words(const PackArgs& args) {
  if (args.act == ActType::kDigitWords) return pack_digit_words(args);
  kOthers(args);
}

/// The sums of products with each digit, for 16 rows of the weight. They are exact for kExactColumns columns.
class WordSums {
 public:
  /// 2^7 * 2^15 * 256 is half of what an int32 holds.
  static constexpr std::int64_t kExactColumns = 256;

  [[gnu::always_inline]] WordSums() : first_(zero_i32()), second_(zero_i32()) {}

  /// Four columns, with their digits at x.
  [[gnu::always_inline]] void add(const ColumnPairs& columns, const std::int16_t* x) {
    add_products(first_, columns, x);
    add_products(second_, columns, x + 4);
  }

  [[nodiscard, gnu::always_inline]] F32 value() const {
    return fma(to_f32(second_), broadcast(kSecondWordUnit), to_f32(first_));
  }

 private:
  I32 first_, second_;
};

/// int8-g32, or without kHasGroups int8, whose sums have no scales here.
template <bool kHasGroups>
void multiply_by_words(const TileArgs& args) {
  constexpr std::int64_t kSpan = kHasGroups ? kGroupColumns : WordSums::kExactColumns;
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const std::int16_t*>(args.a);
    F32 total = zero();
    for (std::int64_t first = 0; first < args.k; first += kSpan) {
      WordSums sums;
      const auto add_four = [&]() __attribute__((always_inline)) {
        prefetch(w + kPrefetchBytes);
        sums.add(ColumnPairs(load_i32(w)), x);
        w += 64;
        x += kWordsOfFour;
      };
      if constexpr (kHasGroups) {
#pragma GCC unroll 8
        for (int vector = 0; vector < kInt8GroupVectors; ++vector) add_four();
        // A group takes eight and a half cache lines. The prefetches of its vectors miss the line with the scales of every second group.
        prefetch(w + kPrefetchBytes);
        total = fma(sums.value(), load_f16(w), total);
        w += kInt8GroupBytes - 64 * kInt8GroupVectors;
      } else {
        const std::int64_t n = smaller(args.k - first, kSpan);
        for (std::int64_t k = 0; k < n; k += 4) add_four();
        total = add(total, sums.value());
      }
    }
    store(args.c + tile * kTileRows, total);
  }
}

/// The entry of a kernel table for multiply_by_words().
template <bool kHasGroups>
constexpr ProductKernel word_digits_kernel(const char* name) {
  return {.act = ActType::kDigitWords,
          .vec = 4,
          .k_multiple = kHasGroups ? kGroupColumns : 4,
          .max_rows = 1,
          .multiply = multiply_by_words<kHasGroups>,
          .name = name};
}

}  // namespace secondsource::cpu::SS_CPU_ISA
