#pragma once
// Matmul of one row of activations by weights in nibbles and in blocks of GGUF with vpmaddubsw. This instruction multiplies 32
// unsigned codes by int8 activations, and takes the time of a multiply-add in f32, which multiplies eight:
//
//   c[n] = sum_g scale[n, g] * (sum_{k in g} q[n, k] x[k] + offset[n, g] * sum_{k in g} x[k]) - least[n, g] * sum_{k in g} x[k]
//
// The offset gives the unsigned codes q their sign; q4_k and q5_k have a minimum instead. Each activation is three int8 digits
// (activation_digits-inl.h), so that none is quantized. c is in units of the row's scale.
//
// The products are added in 16 bits over a span of columns. A 16-bit lane gets half of them, and a span is so short that its sum cannot
// overflow: 32 columns of int4, q4_1 and q4_k (15 * 127 * 16 at most), 16 of mxfp4 (24 * 127 * 8) and of codes of five bits
// (31 * 127 * 8), and 8 of q6_k (63 * 127 * 4). Spans of q2_k and q3_k end after the 16 columns that share a scale. Spans are added in 32
// bits, and groups in f32. The codes of iq4_nl and iq4_xs have eight bits, with which two products overflow; they are multiplied in f32.
//
// From some number of rows on f32 is faster: a code is then decoded once for all rows, while digits take three products for each of them.
//
// a: a DigitGroup for each 32 columns. Tiles, c: as in matmul_groups-inl.h, matmul_k_blocks-inl.h and matmul_gguf_blocks-inl.h.

#include "cpu/kernels/activation_digits-inl.h"
#include "cpu/kernels/matmul_gguf_blocks-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// ActType::kDigitGroups: the digits of 32 activations in the order of an int4 tile's nibbles, and the sums of what the digits of the
/// first and of the last 16 stand for.
struct DigitGroup {
  std::int8_t digits[kActivationDigits][kGroupColumns];
  float sums[2];
  std::byte unused[24];
};
static_assert(sizeof(DigitGroup) == 4 * kGroupColumns, "act_bytes() says how many bytes an activation takes");

/// What three digits stand for.
inline F32 value_of_digits(const I32 (&digits)[kActivationDigits]) {
  const F32 unit = broadcast(kDigitUnits[1]);
  return fma(fma(to_f32(digits[2]), unit, to_f32(digits[1])), unit, to_f32(digits[0]));
}

inline void pack_digit_groups(const PackArgs& args) {
  const std::int64_t n_groups = args.k_padded / kGroupColumns;
  for (int m = 0; m < args.n_rows; ++m) {
    const float* const x = args.x + m * args.x_stride;
    const float scale = digit_scale<kActivationDigits>(x, args.k);
    args.row_scales[m] = scale;
    const bool is_finite = scale > 0.0F;
    auto* group = static_cast<DigitGroup*>(args.out) + m;
    for (std::int64_t at = 0; at < n_groups; ++at, group += args.n_rows) {
      for (int half = 0; half < 2; ++half) {
        const std::int64_t k = at * kGroupColumns + half * 16;
        const F32 values = is_finite && k < args.k ? load_some(x + k, args.k - k) : zero();
        const Digits<kActivationDigits> digits = digits_of<kActivationDigits>(values, is_finite ? scale : 1.0F);
        for (int i = 0; i < kActivationDigits; ++i) {
          store_bytes<true>(reinterpret_cast<std::byte*>(group->digits[i] + half * 16), digits.digit[i]);
        }
        group->sums[half] = reduce_add(value_of_digits(digits.digit));
      }
    }
  }
}

/// Packs ActType::kDigitGroups here, and other types as all instruction sets do.
inline void pack_with_digit_groups(const PackArgs& args) {
  if (args.act == ActType::kDigitGroups) return pack_digit_groups(args);
  pack_rows(args);
}

inline CodeBytes unsigned_nibbles(const I32& lanes) {
  return {shifted_bits<0, 0x0f0f0f0fU>(lanes), shifted_bits<4, 0x0f0f0f0fU>(lanes)};
}

/// Nibbles in two's complement, plus 8.
inline CodeBytes signed_nibbles(const I32& lanes) {
  const __m256i signs = _mm256_set1_epi8(static_cast<char>(0x88));
  return unsigned_nibbles({_mm256_xor_si256(lanes.a, signs), _mm256_xor_si256(lanes.b, signs)});
}

/// The sums of the products of codes with each digit, for 16 rows.
struct DigitSums {
  I32 of_span[kActivationDigits];   ///< two sums of 16 bits for each row, of the span that has not ended
  I32 of_group[kActivationDigits];  ///< one sum of 32 bits for each row, of the spans that have ended

  [[gnu::always_inline]] DigitSums() {
#pragma GCC unroll 3
    for (int i = 0; i < kActivationDigits; ++i) of_span[i] = of_group[i] = zero_i32();
  }

  /// Eight columns, whose digits begin at `digits`.
  [[gnu::always_inline]] void add(const CodeBytes& codes, const std::int8_t* digits) {
    add_four(codes.of_low_nibbles, digits);
    add_four(codes.of_high_nibbles, digits + 4);
  }

  [[gnu::always_inline]] void end_span() {
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 3
    for (int i = 0; i < kActivationDigits; ++i) {
      of_group[i] =
          add_i32(of_group[i], {_mm256_madd_epi16(of_span[i].a, ones), _mm256_madd_epi16(of_span[i].b, ones)});
      of_span[i] = zero_i32();
    }
  }

 private:
  [[gnu::always_inline]] void add_four(const I32& codes, const std::int8_t* digits) {
#pragma GCC unroll 3
    for (int i = 0; i < kActivationDigits; ++i) {
      const __m256i of_four = _mm256_set1_epi32(read<std::int32_t>(digits + i * kGroupColumns));
      I32& sum = of_span[i];
      sum = {_mm256_add_epi16(sum.a, _mm256_maddubs_epi16(codes.a, of_four)),
             _mm256_add_epi16(sum.b, _mm256_maddubs_epi16(codes.b, of_four))};
      // Without this g++ adds the products of a span in pairs, and has to keep them in memory until then.
      __asm__("" : "+x"(sum.a), "+x"(sum.b));
    }
  }
};

/// Adds the products of a group of 32 columns, whose unsigned codes are the nibbles at `w`, or have fifth bits behind these, too.
template <bool kHasFifthBits>
[[gnu::always_inline]] inline void add_group(DigitSums& sums, const std::byte* w, const DigitGroup& x) {
  const auto add_vector = [&]<int kVector>() __attribute__((always_inline)) {
    prefetch(w + kPrefetchBytes + kVector * 64);
    const I32 lanes = load_i32(w + kVector * 64);
    if constexpr (kHasFifthBits) {
      const EightCodes<1, 2 * kVector> codes(lanes, load_i32(w + kNibbleBytes));
      sums.add(codes, x.digits[0] + kVector * 8);
    } else {
      sums.add(unsigned_nibbles(lanes), x.digits[0] + kVector * 8);
    }
  };
  add_vector.template operator()<0>();
  add_vector.template operator()<1>();
  if constexpr (kHasFifthBits) sums.end_span();
  add_vector.template operator()<2>();
  add_vector.template operator()<3>();
  sums.end_span();
}

/// Calls body(tile, activations) for each tile, which returns its 16 sums.
template <typename Body>
[[gnu::always_inline]] inline void for_each_tile(const TileArgs& args, const Body& body) {
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const F32 total = body(args.tiles + tile * args.tile_bytes, static_cast<const DigitGroup*>(args.a));
    store(args.c + tile * kTileRows, total);
  }
}

/// Groups of int4. A weight is scale * (code + offset).
struct Int4Codes {
  static constexpr int kGroupBytes = kInt4GroupBytes;
  static constexpr bool kHasTwoSpans = false;
  static CodeBytes of(const I32& lanes) { return signed_nibbles(lanes); }
  static F32 offset(const std::byte*) { return broadcast(-8.0F); }
  static F32 scale(const std::byte* group) { return load_f16(group + kNibbleBytes); }
};

struct Int4ZeroCodes : Int4Codes {
  static constexpr int kGroupBytes = kInt4ZeroGroupBytes;
  static F32 offset(const std::byte* group) { return sub(broadcast(-8.0F), load_i8(group + kInt4GroupBytes)); }
};

/// A code is twice an E2M1 number plus 12, and at most 24: 24 * 127 * 8 for 16 columns.
struct Mxfp4Codes {
  static constexpr int kGroupBytes = kMxfp4GroupBytes;
  static constexpr bool kHasTwoSpans = true;
  static CodeBytes of(const I32& lanes) {
    const __m128i numbers = _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
    const __m256i table = _mm256_broadcastsi128_si256(numbers);
    const CodeBytes nibbles = unsigned_nibbles(lanes);
    const auto numbers_of = [table](const I32& x) -> I32 {
      return {_mm256_shuffle_epi8(table, x.a), _mm256_shuffle_epi8(table, x.b)};
    };
    return {numbers_of(nibbles.of_low_nibbles), numbers_of(nibbles.of_high_nibbles)};
  }
  static F32 offset(const std::byte*) { return broadcast(-12.0F); }
  static F32 scale(const std::byte* group) { return mul(load_e8m0(group + kNibbleBytes), broadcast(0.5F)); }
};

/// int4, int4-zp or mxfp4.
template <typename Codes>
void multiply_nibbles_by_digits(const TileArgs& args) {
  for_each_tile(
      args, [&args](const std::byte* w, const DigitGroup* x) __attribute__((always_inline)) {
        F32 total = zero();
        for (std::int64_t k = 0; k < args.k; k += kGroupColumns, w += Codes::kGroupBytes, ++x) {
          DigitSums sums;
#pragma GCC unroll 4
          for (int vector = 0; vector < 4; ++vector) {
            prefetch(w + kPrefetchBytes + vector * 64);
            sums.add(Codes::of(load_i32(w + vector * 64)), x->digits[0] + vector * 8);
            if (Codes::kHasTwoSpans && vector == 1) sums.end_span();
          }
          sums.end_span();
          const F32 of_codes =
              fma(Codes::offset(w), broadcast(x->sums[0] + x->sums[1]), value_of_digits(sums.of_group));
          total = fma(of_codes, Codes::scale(w), total);
        }
        return total;
      });
}

/// q4_k, or with kHasHighBits q5_k.
template <bool kHasHighBits>
void multiply_minima_blocks_by_digits(const TileArgs& args) {
  constexpr int kGroupBytes = kHasHighBits ? kQ5KGroupBytes : kQ4KGroupBytes;
  for_each_tile(
      args, [&args](const std::byte* w, const DigitGroup* x) __attribute__((always_inline)) {
        F32 total = zero();
        for (std::int64_t k = 0; k < args.k; k += kBlockColumns, w += 64) {
          const F32 scale_unit = load_f16(w + kBlockGroups * kGroupBytes);
          const F32 least_unit = mul(load_f16(w + kBlockGroups * kGroupBytes + 32), broadcast(-1.0F));
          for (int group = 0; group < kBlockGroups; ++group, w += kGroupBytes, ++x) {
            DigitSums sums;
            add_group<kHasHighBits>(sums, w, *x);
            prefetch(w + kPrefetchBytes + kNibbleBytes);
            const std::byte* const scales = w + kGroupBytes - 2 * 16;
            total = fma(mul(load_i8(scales), scale_unit), value_of_digits(sums.of_group), total);
            total = fma(mul(load_i8(scales + 16), least_unit), broadcast(x->sums[0] + x->sums[1]), total);
          }
        }
        return total;
      });
}

inline void multiply_q6k_by_digits(const TileArgs& args) {
  for_each_tile(
      args, [&args](const std::byte* w, const DigitGroup* x) __attribute__((always_inline)) {
        F32 total = zero();
        for (std::int64_t k = 0; k < args.k; k += kBlockColumns, w += 32) {
          const F32 unit = load_f16(w + kBlockGroups * kQ6KGroupBytes);
          for (int group = 0; group < kBlockGroups; ++group, w += kQ6KGroupBytes, ++x) {
            for (int half = 0; half < 2; ++half) {
              const std::int8_t* const digits = x->digits[0] + half * 16;
              const I32 high = load_i32(w + kNibbleBytes + half * 64);
              prefetch(w + kPrefetchBytes + half * 192);
              prefetch(w + kPrefetchBytes + half * 192 + 64);
              prefetch(w + kPrefetchBytes + half * 192 + 128);
              DigitSums sums;
              const EightCodes<2, 0> first(load_i32(w + half * 128), high);
              sums.add(first, digits);
              sums.end_span();
              const EightCodes<2, 4> second(load_i32(w + half * 128 + 64), high);
              sums.add(second, digits + 8);
              sums.end_span();
              const F32 of_codes = fma(broadcast(-32.0F), broadcast(x->sums[half]), value_of_digits(sums.of_group));
              total = fma(of_codes, mul(load_i8(w + kNibbleBytes + 128 + half * 16), unit), total);
            }
          }
        }
        return total;
      });
}

/// q4_1, q5_0 and q5_1. Block: a GroupBlock of matmul_gguf_blocks-inl.h.
template <typename Block>
void multiply_group_blocks_by_digits(const TileArgs& args) {
  for_each_tile(
      args, [&args](const std::byte* w, const DigitGroup* x) __attribute__((always_inline)) {
        F32 total = zero();
        for (std::int64_t k = 0; k < args.k; k += kGroupColumns, w += Block::kBytes, ++x) {
          DigitSums sums;
          add_group<Block::kHasFifthBits>(sums, w, *x);
          prefetch(w + kPrefetchBytes + kNibbleBytes);
          const F32 scale = load_f16(w + Block::kScalesAt);
          const F32 of_inputs = broadcast(x->sums[0] + x->sums[1]);
          if constexpr (Block::kHasMinimum) {
            total = fma(scale, value_of_digits(sums.of_group), total);
            total = sub(total, mul(load_f16(w + Block::kScalesAt + 32), of_inputs));
          } else {
            const F32 zero_point = broadcast(static_cast<float>(-Block::kZero));
            total = fma(fma(zero_point, of_inputs, value_of_digits(sums.of_group)), scale, total);
          }
        }
        return total;
      });
}

/// q2_k, or with kHasThirdBits q3_k.
template <bool kHasThirdBits>
void multiply_quads_by_digits(const TileArgs& args) {
  using Block = QuadBlock<kHasThirdBits>;
  constexpr int kQuadBytes = kHasThirdBits ? kQ3KQuadBytes : kQ2KQuadBytes;
  for_each_tile(
      args, [&args](const std::byte* w, const DigitGroup* x) __attribute__((always_inline)) {
        F32 total = zero();
        for (std::int64_t k = 0; k < args.k; k += kBlockColumns, w += Block::kBytes - kBlockQuads * kQuadBytes) {
          const std::byte* const units = w + kBlockQuads * kQuadBytes;
          const F32 unit = load_f16(units);
          const F32 least_unit = kHasThirdBits ? zero() : mul(load_f16(units + 32), broadcast(-1.0F));
          for (int quad = 0; quad < kBlockQuads; ++quad, w += kQuadBytes, x += 2) {
            const I32 parts = load_i32(w + kQuadBytes - 64);
            prefetch(w + kPrefetchBytes + kQuadBytes - 64);
            const auto add_part = [&]<int kPart>() __attribute__((always_inline)) {
              prefetch(w + kPrefetchBytes + kPart * 64);
              const I32 lanes = load_i32(w + kPart * 64);
              const DigitGroup& group = x[kPart / 2];
              const std::int8_t* const digits = group.digits[0] + kPart % 2 * kPartColumns;
              const F32 of_inputs = broadcast(group.sums[kPart % 2]);
              DigitSums sums;
              if constexpr (kHasThirdBits) {
                const std::byte* const third_bits = w + 64 * kQuadParts + 64 * (kPart / 2);
                if constexpr (kPart % 2 == 0) prefetch(third_bits + kPrefetchBytes);
                const I32 high = load_i32(third_bits);
                sums.add(ThreeBitCodes<kPart % 2, 0>(lanes, high), digits);
                sums.add(ThreeBitCodes<kPart % 2, 1>(lanes, high), digits + 8);
                sums.end_span();
                const F32 scale = mul(sub(unsigned_field<8 * kPart, 8>(parts), broadcast(32.0F)), unit);
                total = fma(fma(broadcast(-4.0F), of_inputs, value_of_digits(sums.of_group)), scale, total);
              } else {
                sums.add(TwoBitCodes<0>{lanes}.bytes(), digits);
                sums.add(TwoBitCodes<1>{lanes}.bytes(), digits + 8);
                sums.end_span();
                const F32 scale = mul(unsigned_field<8 * kPart, 4>(parts), unit);
                const F32 least = mul(unsigned_field<8 * kPart + 4, 4>(parts), least_unit);
                total = fma(scale, value_of_digits(sums.of_group), total);
                total = fma(least, of_inputs, total);
              }
            };
            add_part.template operator()<0>();
            add_part.template operator()<1>();
            add_part.template operator()<2>();
            add_part.template operator()<3>();
          }
        }
        return total;
      });
}

}  // namespace secondsource::cpu::SS_CPU_ISA
