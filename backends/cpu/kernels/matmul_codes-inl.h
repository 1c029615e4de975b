#pragma once
// Matmul of activations by the unsigned codes of weights in int8, in nibbles and in blocks of GGUF. The sums of each group of columns are
// scaled:
//
//   c[m, n] = sum_g scale[n, g] * (sum_{k in g} q[n, k] x[m, k] + offset[n, g] * sum_{k in g} x[m, k]) - least[n, g] * sum_{k in g} x[m, k]
//
// The offset makes the codes q signed; q4_k, q5_k, q2_k, q4_1 and q5_1 have a minimum instead. Decoding each weight to f32 and scaling it
// would take several times as many instructions.
//
// The type Sums says how the products of a group are added:
//
//   MaddubsSums (digit_sums_avx2-inl.h) and VnniSums (byte_sums_vnni-inl.h) add them as integers. Each activation is three int8 digits
//     (activation_digits-inl.h), so that none is quantized. c is in units of the row's scale.
//   Int8MaddubsSums (int8_sums_avx2-inl.h) and VnniSums do the same with activations that are quantized to one int8.
//   Bf16Sums<bits of a code> (bf16_sums-inl.h) adds them in f32, with activations rounded to BF16.
//
// Groups are added in f32. Weights whose codes take many instructions to make are unpacked instead, once for all rows, where there are many
// rows.
//
// a: [k / 32][n_rows] Sums::Group. Tiles, c: as in matmul_groups-inl.h, matmul_k_blocks-inl.h and matmul_gguf_blocks-inl.h.

#include "cpu/kernels/matmul_gguf_blocks-inl.h"
#include "cpu/kernels/matmul_nvfp4-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The sums of the products of a group of columns with kRows rows of activations at `x`.
template <typename Sums, int kRows>
struct RowSums {
  const typename Sums::Group* x;
  Sums of_row[kRows] = {};

  /// Eight columns, from column `first` of the group on.
  [[gnu::always_inline]] void add(const CodeBytes& codes, int first) {
    if constexpr (Sums::kTakesEightBits) {
      // These sums take four columns at a time: with the sums of two rows, the 16 registers of AVX2 have no room for more codes.
      add_four(codes.of_low_nibbles, first);
      add_four(codes.of_high_nibbles, first + 4);
    } else {
      const auto operands = Sums::operands(codes);
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) of_row[m].add(operands, x[m], first);
    }
  }

  /// Four columns, for a Sums with kTakesEightBits.
  [[gnu::always_inline]] void add_four(const I32& codes, int first) {
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) of_row[m].add_four(codes, x[m], first);
  }

  /// Ends a run of columns whose products a Sums adds in its narrowest type.
  [[gnu::always_inline]] void end_span() {
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) of_row[m].end_span();
  }
};

// Each kind of tile has a struct with a function add_tile(), which multiplies n_cols columns of the tile at `w` with the activations at `x`
// and adds the 16 sums of row m to total[m].
//
// Sums in BF16 are those of codes plus Sums::kBias (bf16_sums-inl.h). The next two functions subtract what the bias contributes.

/// total[m] += scale * (sums + offset * x_sum(row m)).
template <typename Sums, int kRows, typename SumOfInputs>
[[gnu::always_inline]] inline void add_with_offset(const RowSums<Sums, kRows>& sums, const F32& scale,
                                                   const F32& offset, const SumOfInputs& x_sum, F32 (&total)[kRows]) {
  const F32 of_codes = Sums::kBias == 0.0F ? offset : sub(offset, broadcast(Sums::kBias));
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
    total[m] = fma(fma(of_codes, broadcast(x_sum(sums.x[m])), sums.of_row[m].value()), scale, total[m]);
  }
}

/// total[m] += scale * sums + least * x_sum(row m). least: below 0.
template <typename Sums, int kRows, typename SumOfInputs>
[[gnu::always_inline]] inline void add_with_minimum(const RowSums<Sums, kRows>& sums, const F32& scale,
                                                    const F32& least, const SumOfInputs& x_sum, F32 (&total)[kRows]) {
  const F32 of_codes = Sums::kBias == 0.0F ? least : fma(scale, broadcast(-Sums::kBias), least);
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
    total[m] = fma(scale, sums.of_row[m].value(), total[m]);
    total[m] = fma(of_codes, broadcast(x_sum(sums.x[m])), total[m]);
  }
}

inline constexpr auto kSumOfGroup = [](const auto& of_row) { return of_row.sum; };

inline CodeBytes unsigned_nibbles(const I32& lanes) {
  return {shifted_bits<0, 0x0f0f0f0fU>(lanes), shifted_bits<4, 0x0f0f0f0fU>(lanes)};
}

/// Groups of int4. A weight is scale * (code + offset); codes are nibbles in two's complement plus 8.
struct Int4Codes {
  static constexpr int kGroupBytes = kInt4GroupBytes;
  static constexpr bool kHasTwoSpans = false;
  static CodeBytes of(const I32& lanes) { return unsigned_nibbles(flipped_bits<0x88888888U>(lanes)); }
  static F32 offset(const std::byte*) { return broadcast(-8.0F); }
  static F32 scale(const std::byte* group) { return load_f16(group + kNibbleBytes); }
};

struct Int4ZeroCodes : Int4Codes {
  static constexpr int kGroupBytes = kInt4ZeroGroupBytes;
  static F32 offset(const std::byte* group) { return sub(broadcast(-8.0F), load_i8(group + kInt4GroupBytes)); }
};

struct Mxfp4Codes {
  static constexpr int kGroupBytes = kMxfp4GroupBytes;
  static constexpr bool kHasTwoSpans = true;
  static CodeBytes of(const I32& lanes) {
    const CodeBytes nibbles = unsigned_nibbles(lanes);
    return {look_up(kDoubledE2m1Plus12, nibbles.of_low_nibbles), look_up(kDoubledE2m1Plus12, nibbles.of_high_nibbles)};
  }
  static F32 offset(const std::byte*) { return broadcast(-12.0F); }
  static F32 scale(const std::byte* group) { return mul(load_e8m0(group + kNibbleBytes), broadcast(0.5F)); }
};

/// int4, int4-zp or mxfp4.
template <typename Codes>
struct NibbleProduct {
  template <typename Sums, int kRows>
  [[gnu::always_inline]] static void add_tile(const std::byte* w, const typename Sums::Group* x, std::int64_t n_cols,
                                              F32 (&total)[kRows]) {
    for (std::int64_t k = 0; k < n_cols; k += kGroupColumns, w += Codes::kGroupBytes, x += kRows) {
      RowSums<Sums, kRows> sums{x};
#pragma GCC unroll 4
      for (int vector = 0; vector < 4; ++vector) {
        prefetch(w + kBlockPrefetchBytes + vector * 64);
        sums.add(Codes::of(load_i32(w + vector * 64)), vector * 8);
        if (Codes::kHasTwoSpans && vector == 1) sums.end_span();
      }
      sums.end_span();
      add_with_offset(sums, Codes::scale(w), Codes::offset(w), kSumOfGroup, total);
    }
  }
};

/// Four columns of int8 at `w` as codes: the values plus 128.
inline I32 int8_codes(const std::byte* w) {
  return flipped_bits<0x80808080U>(load_i32(w));
}

/// Adds the products of a group of 32 columns of int8 at `w`.
template <typename Sums, int kRows>
[[gnu::always_inline]] inline void add_int8_group(RowSums<Sums, kRows>& sums, const std::byte* w) {
#pragma GCC unroll 8
  for (int vector = 0; vector < kInt8GroupVectors; ++vector) {
    prefetch(w + kPrefetchBytes + vector * 64);
    sums.add_four(int8_codes(w + vector * 64), vector * 4);
  }
}

/// int8-g32, for activations in column order.
struct Int8GroupProduct {
  template <typename Sums, int kRows>
  [[gnu::always_inline]] static void add_tile(const std::byte* w, const typename Sums::Group* x, std::int64_t n_cols,
                                              F32 (&total)[kRows]) {
    for (std::int64_t k = 0; k < n_cols; k += kGroupColumns, w += kInt8GroupBytes, x += kRows) {
      RowSums<Sums, kRows> sums{x};
      add_int8_group(sums, w);
      const F32 scale = load_f16(w + 64 * kInt8GroupVectors);
      add_with_offset(sums, scale, broadcast(-128.0F), kSumOfGroup, total);
    }
  }
};

/// Columns whose products of a code of eight bits and a digit have an exact sum in int32: 255 * 127 * 2^16 is below 2^31.
inline constexpr std::int64_t kExactColumns = std::int64_t{1} << 16;

/// int8, for activations in column order. The products of kExactColumns columns are added as integers. The offset that makes codes signed
/// is subtracted from them as an integer, too: in f32, most digits of the sum would cancel where activations have a mean. The last group of
/// columns may be incomplete.
struct Int8RowProduct {
  template <typename Sums, int kRows>
  [[gnu::always_inline]] static void add_tile(const std::byte* w, const typename Sums::Group* x, std::int64_t n_cols,
                                              F32 (&total)[kRows]) {
    for (std::int64_t first = 0; first < n_cols; first += kExactColumns) {
      const std::int64_t n = n_cols - first < kExactColumns ? n_cols - first : kExactColumns;
      RowSums<Sums, kRows> sums{x};
      std::int32_t digit_sums[kRows][Sums::Group::kDigits] = {};
      const auto end_group = [&]() __attribute__((always_inline)) {
#pragma GCC unroll 12
        for (int m = 0; m < kRows; ++m) {
          for (int i = 0; i < Sums::Group::kDigits; ++i) digit_sums[m][i] += sums.x[m].digit_sums[i];
        }
        sums.x += kRows;
      };
      std::int64_t k = 0;
      for (; k + kGroupColumns <= n; k += kGroupColumns, w += 64 * kInt8GroupVectors) {
        add_int8_group(sums, w);
        end_group();
      }
      if (k < n) {
        for (int column = 0; column < n - k; column += 4, w += 64) sums.add_four(int8_codes(w), column);
        end_group();
      }
      x = sums.x;
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) {
        sums.of_row[m].subtract_bias(digit_sums[m]);
        total[m] = add(total[m], sums.of_row[m].value());
      }
    }
  }
};

/// Adds the products of a group of 32 columns with nibbles at `w`, which with kHasFifthBits are followed by the fifth bits of their codes.
/// With kIsOnCurve, nibbles are indices in kCurvePlus128.
template <bool kHasFifthBits, bool kIsOnCurve, typename Sums, int kRows>
[[gnu::always_inline]] inline void add_group(RowSums<Sums, kRows>& sums, const std::byte* w) {
  static_assert(!kIsOnCurve || Sums::kTakesEightBits, "codes on the curve have eight bits");
  const auto add_vector = [&]<int kVector>() __attribute__((always_inline)) {
    prefetch(w + kBlockPrefetchBytes + kVector * 64);
    const I32 lanes = load_i32(w + kVector * 64);
    if constexpr (kHasFifthBits) {
      sums.add(EightCodes<1, 2 * kVector>(lanes, load_i32(w + kNibbleBytes)), kVector * 8);
    } else if constexpr (kIsOnCurve) {
      sums.add(CurveCodes(lanes), kVector * 8);
    } else {
      sums.add(unsigned_nibbles(lanes), kVector * 8);
    }
  };
  add_vector.template operator()<0>();
  add_vector.template operator()<1>();
  if constexpr (kHasFifthBits) sums.end_span();
  add_vector.template operator()<2>();
  add_vector.template operator()<3>();
  sums.end_span();
  prefetch(w + kBlockPrefetchBytes + kNibbleBytes);
}

/// q4_k, or with kHasHighBits q5_k.
template <bool kHasHighBits>
struct MinimaBlockProduct {
  template <typename Sums, int kRows>
  [[gnu::always_inline]] static void add_tile(const std::byte* w, const typename Sums::Group* x, std::int64_t n_cols,
                                              F32 (&total)[kRows]) {
    constexpr int kGroupBytes = kHasHighBits ? kQ5KGroupBytes : kQ4KGroupBytes;
    for (std::int64_t k = 0; k < n_cols; k += kBlockColumns, w += 64) {
      const F32 scale_unit = load_f16(w + kBlockGroups * kGroupBytes);
      const F32 least_unit = mul(load_f16(w + kBlockGroups * kGroupBytes + 32), broadcast(-1.0F));
      for (int group = 0; group < kBlockGroups; ++group, w += kGroupBytes, x += kRows) {
        RowSums<Sums, kRows> sums{x};
        add_group<kHasHighBits, false>(sums, w);
        const std::byte* const scales = w + kGroupBytes - 2 * 16;
        add_with_minimum(sums, mul(load_i8(scales), scale_unit), mul(load_i8(scales + 16), least_unit), kSumOfGroup,
                         total);
      }
    }
  }
};

struct Q6KProduct {
  template <typename Sums, int kRows>
  [[gnu::always_inline]] static void add_tile(const std::byte* w, const typename Sums::Group* x, std::int64_t n_cols,
                                              F32 (&total)[kRows]) {
    for (std::int64_t k = 0; k < n_cols; k += kBlockColumns, w += 32) {
      const F32 unit = load_f16(w + kBlockGroups * kQ6KGroupBytes);
      for (int group = 0; group < kBlockGroups; ++group, w += kQ6KGroupBytes, x += kRows) {
        for (int half = 0; half < 2; ++half) {
          const I32 high = load_i32(w + kNibbleBytes + half * 64);
          prefetch(w + kBlockPrefetchBytes + half * 192);
          prefetch(w + kBlockPrefetchBytes + half * 192 + 64);
          prefetch(w + kBlockPrefetchBytes + half * 192 + 128);
          RowSums<Sums, kRows> sums{x};
          sums.add(EightCodes<2, 0>(load_i32(w + half * 128), high), half * 16);
          sums.end_span();
          sums.add(EightCodes<2, 4>(load_i32(w + half * 128 + 64), high), half * 16 + 8);
          sums.end_span();
          const F32 scale = mul(load_i8(w + kNibbleBytes + 128 + half * 16), unit);
          add_with_offset(
              sums, scale, broadcast(-32.0F), [half](const auto& of_row) { return of_row.half_sums[half]; }, total);
        }
      }
    }
  }
};

/// q4_1, q5_0, q5_1 and iq4_nl. Block: a GroupBlock of matmul_gguf_blocks-inl.h.
template <typename Block>
struct GroupBlockProduct {
  template <typename Sums, int kRows>
  [[gnu::always_inline]] static void add_tile(const std::byte* w, const typename Sums::Group* x, std::int64_t n_cols,
                                              F32 (&total)[kRows]) {
    for (std::int64_t k = 0; k < n_cols; k += kGroupColumns, w += Block::kBytes, x += kRows) {
      RowSums<Sums, kRows> sums{x};
      add_group<Block::kHasFifthBits, Block::kIsOnCurve>(sums, w);
      const F32 scale = load_f16(w + Block::kScalesAt);
      if constexpr (Block::kHasMinimum) {
        const F32 least = mul(load_f16(w + Block::kScalesAt + 32), broadcast(-1.0F));
        add_with_minimum(sums, scale, least, kSumOfGroup, total);
      } else {
        add_with_offset(sums, scale, broadcast(static_cast<float>(-Block::kZero)), kSumOfGroup, total);
      }
    }
  }
};

struct Iq4XsProduct {
  template <typename Sums, int kRows>
  [[gnu::always_inline]] static void add_tile(const std::byte* w, const typename Sums::Group* x, std::int64_t n_cols,
                                              F32 (&total)[kRows]) {
    for (std::int64_t k = 0; k < n_cols;
         k += kBlockColumns, w += Iq4XsBlock::kBytes - kBlockGroups * kIq4XsGroupBytes) {
      const F32 unit = load_f16(w + kBlockGroups * kIq4XsGroupBytes);
      for (int group = 0; group < kBlockGroups; ++group, w += kIq4XsGroupBytes, x += kRows) {
        RowSums<Sums, kRows> sums{x};
        add_group<false, true>(sums, w);
        add_with_offset(sums, mul(load_i8(w + kNibbleBytes), unit), broadcast(-128.0F), kSumOfGroup, total);
      }
    }
  }
};

/// q2_k, or with kHasThirdBits q3_k.
template <bool kHasThirdBits>
struct QuadProduct {
  template <typename Sums, int kRows>
  [[gnu::always_inline]] static void add_tile(const std::byte* w, const typename Sums::Group* x, std::int64_t n_cols,
                                              F32 (&total)[kRows]) {
    using Block = QuadBlock<kHasThirdBits>;
    constexpr int kQuadBytes = kHasThirdBits ? kQ3KQuadBytes : kQ2KQuadBytes;
    for (std::int64_t k = 0; k < n_cols; k += kBlockColumns, w += Block::kBytes - kBlockQuads * kQuadBytes) {
      const std::byte* const units = w + kBlockQuads * kQuadBytes;
      const F32 unit = load_f16(units);
      const F32 least_unit = kHasThirdBits ? zero() : mul(load_f16(units + 32), broadcast(-1.0F));
      for (int quad = 0; quad < kBlockQuads; ++quad, w += kQuadBytes, x += 2 * kRows) {
        const I32 parts = load_i32(w + kQuadBytes - 64);
        prefetch(w + kBlockPrefetchBytes + kQuadBytes - 64);
        const auto add_part = [&]<int kPart>() __attribute__((always_inline)) {
          constexpr int kHalf = kPart % 2;
          constexpr int kFirst = kHalf * kPartColumns;
          const auto x_sum = [](const auto& of_row) { return of_row.half_sums[kHalf]; };
          prefetch(w + kBlockPrefetchBytes + kPart * 64);
          const I32 lanes = load_i32(w + kPart * 64);
          RowSums<Sums, kRows> sums{x + kPart / 2 * kRows};
          if constexpr (kHasThirdBits) {
            const std::byte* const third_bits = w + 64 * kQuadParts + 64 * (kPart / 2);
            if constexpr (kHalf == 0) prefetch(third_bits + kBlockPrefetchBytes);
            const I32 high = load_i32(third_bits);
            sums.add(ThreeBitCodes<kHalf, 0>(lanes, high), kFirst);
            sums.add(ThreeBitCodes<kHalf, 1>(lanes, high), kFirst + 8);
            sums.end_span();
            const F32 scale = mul(sub(unsigned_field<8 * kPart, 8>(parts), broadcast(32.0F)), unit);
            add_with_offset(sums, scale, broadcast(-4.0F), x_sum, total);
          } else {
            sums.add(TwoBitCodes<0>{lanes}.bytes(), kFirst);
            sums.add(TwoBitCodes<1>{lanes}.bytes(), kFirst + 8);
            sums.end_span();
            const F32 scale = mul(unsigned_field<8 * kPart, 4>(parts), unit);
            const F32 least = mul(unsigned_field<8 * kPart + 4, 4>(parts), least_unit);
            add_with_minimum(sums, scale, least, x_sum, total);
          }
        };
        add_part.template operator()<0>();
        add_part.template operator()<1>();
        add_part.template operator()<2>();
        add_part.template operator()<3>();
      }
    }
  }
};

/// nvfp4.
struct Nvfp4Product {
  template <typename Sums, int kRows>
  [[gnu::always_inline]] static void add_tile(const std::byte* w, const typename Sums::Group* x, std::int64_t n_cols,
                                              F32 (&total)[kRows]) {
    for (std::int64_t k = 0; k < n_cols; k += kNvfp4BlockColumns, w += kNvfp4BlockBytes, x += 2 * kRows) {
      const I32 scales = load_i32(w + kNvfp4BlockBytes - 64);
      prefetch(w + kBlockPrefetchBytes + kNvfp4BlockBytes - 64);
      const auto add_part = [&]<int kPart>() __attribute__((always_inline)) {
        constexpr int kHalf = kPart % 2;
        const std::byte* const vectors = w + 128 * kPart;
        prefetch(vectors + kBlockPrefetchBytes);
        prefetch(vectors + kBlockPrefetchBytes + 64);
        RowSums<Sums, kRows> sums{x + kPart / 2 * kRows};
        sums.add(Mxfp4Codes::of(load_i32(vectors)), kHalf * kPartColumns);
        sums.add(Mxfp4Codes::of(load_i32(vectors + 64)), kHalf * kPartColumns + 8);
        sums.end_span();
        // The codes are twice the E2M1 numbers plus 12.
        const F32 scale = mul(e4m3_at<8 * kPart>(scales), broadcast(0.5F));
        add_with_offset(
            sums, scale, broadcast(-12.0F), [](const auto& of_row) { return of_row.half_sums[kHalf]; }, total);
      };
      add_part.template operator()<0>();
      add_part.template operator()<1>();
      add_part.template operator()<2>();
      add_part.template operator()<3>();
    }
  }
};

template <typename Sums, typename Kernel, int kRows>
void multiply_codes_of(const TileArgs& args) {
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    F32 total[kRows];
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) total[m] = zero();
    Kernel::template add_tile<Sums, kRows>(args.tiles + tile * args.tile_bytes,
                                           static_cast<const typename Sums::Group*>(args.a), args.k, total);
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) store(args.c + m * args.c_stride + tile * kTileRows, total[m]);
  }
}

/// Kernel: one of the structs above.
template <typename Sums, typename Kernel, int kMaxRows>
void multiply_codes(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() {
    if constexpr (kRows <= kMaxRows) multiply_codes_of<Sums, Kernel, kRows>(args);
  });
}

/// The entry of a kernel table for multiply_codes().
template <typename Sums, typename Kernel, int kMaxRows>
constexpr ProductKernel codes_kernel(int k_multiple, const char* name) {
  return {.act = Sums::kAct,
          .vec = kGroupColumns,
          .k_multiple = k_multiple,
          .max_rows = kMaxRows,
          .multiply = multiply_codes<Sums, Kernel, kMaxRows>,
          .name = name};
}

/// Registers a kernel for a product of fewer rows than `many_from_rows`. More rows keep the kernel that the table has for many. If that
/// kernel takes a single row only, the new one replaces it for all rows that are not unpacked. To be called once for each product and
/// instruction set.
template <Product kProduct>
void use_for_few_rows(KernelTable& table, const ProductKernel& kernel, int many_from_rows) {
  ProductKernel& present = table.products[int(kProduct)];
  static const ProductKernel more_rows = present.many != nullptr ? *present.many : present;
  present = kernel;
  if (more_rows.max_rows == 1) return;
  present.many = &more_rows;
  present.many_from_rows = many_from_rows;
}

/// Registers Kernel in the same way, in blocks of at most kMaxRows.
template <Product kProduct, typename Sums, typename Kernel, int kMaxRows>
void use_codes(KernelTable& table, const char* name, int many_from_rows) {
  const int k_multiple = table.products[int(kProduct)].k_multiple;
  use_for_few_rows<kProduct>(table, codes_kernel<Sums, Kernel, kMaxRows>(k_multiple, name), many_from_rows);
}

}  // namespace secondsource::cpu::SS_CPU_ISA
