#pragma once
// Matmul of BF16, int8, int8-g32, int4, int4-zp, mxfp4 and fp8 weights and BF16 activations with the AVX-512 instruction vdpbf16ps,
// which adds the two exact products of a pair of BF16 to each f32 lane. int8, int4, E4M3 and E2M1 values, and int4 less a zero point,
// are exact in BF16. Only the activations are rounded, to BF16, and the sums, which are f32. matmul-inl.h and matmul_groups-inl.h state
// the formulas, the shapes and what may overlap.

#ifndef SS_CPU_ISA  // compiled on its own: see target-inl.h
#define SS_CPU_ISA avx512_bf16
#define SS_CPU_SIMD_AVX512
#endif

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_dot-inl.h"
#include "cpu/kernels/matmul_gguf_blocks-inl.h"
#include "cpu/kernels/matmul_groups-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

struct DotBf16 : Bf16Pairs {
  static void step(Acc& acc, const Weights& w, const Act* x) {
    acc.v = _mm512_dpbf16_ps(acc.v, (__m512bh)w.v, (__m512bh)_mm512_set1_epi32(read<std::int32_t>(x)));
  }
};

// The BF16 bits of the magnitudes 1 to 127, low and high bytes apart, for vpermi2b, which ignores the top bit of an index. The entry at 0
// is that of 128, the magnitude of the least int8. The lookup of the high byte is masked where a value is 0. From the second-level cache of
// a Xeon with AMX the mask costs 10 % of the rate of one row, 5 % of two and 3 % of four (November 2026).
struct ByteTables {
  alignas(64) std::uint8_t low[128];
  alignas(64) std::uint8_t high[128];
};
constexpr ByteTables make_byte_tables() {
  ByteTables tables{};
  for (unsigned magnitude = 1; magnitude < 128; ++magnitude) {
    unsigned exponent = 0;
    while ((magnitude >> (exponent + 1)) != 0) ++exponent;
    const unsigned bits = ((exponent + 127U) << 7) | ((magnitude << (7 - exponent)) & 0x7fU);
    tables.low[magnitude] = static_cast<std::uint8_t>(bits & 0xffU);
    tables.high[magnitude] = static_cast<std::uint8_t>(bits >> 8);
  }
  tables.high[0] = 0x43;  // of 0x4300, 128
  return tables;
}
inline constexpr ByteTables kByteTables = make_byte_tables();

// The prefetch distance for formats whose decoding takes several times as many cycles per line as BF16. Shares of the
// 60 GB/s that two threads of a Zen 4 read (November 2026, medians of 7 interleaved rounds) with 4, 6, 8 and 12 KiB: int8
// 0.95, 0.98, 0.95, 0.91; int8-g32 0.91, 0.95, 0.89, 0.81; int4 0.95, 1.00, 0.94, 0.93. With prefetches into the
// second-level cache only, at 8 KiB: 0.85, 0.89 and 0.39.
inline constexpr std::int64_t kDecodedPrefetchBytes = 6144;

/// int8 weights, converted to BF16 by table lookup in registers, and BF16 activations. Tile: [k / 4][16][4].
struct DotInt8 {
  using Act = std::uint16_t;
  static constexpr int kVec = 4;
  static constexpr int kStepBytes = 64;
  [[gnu::always_inline]] static void prefetch_ahead(const std::byte* p) { prefetch(p + kDecodedPrefetchBytes); }
  // The unpack instructions leave rows 0 and 1 of each four in `low` and rows 2 and 3 in `high`, with the two column
  // pairs of a row in adjacent lanes, which result() adds.
  struct Acc {
    __m512 low, high;
  };
  struct Weights {
    __m512i low, high;
  };
  static Weights decode(const std::byte* p) {
    const __m512i q = _mm512_loadu_si512(p);
    const __m512i magnitude = _mm512_abs_epi8(q);
    const __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(kByteTables.low), magnitude,
                                                 _mm512_load_si512(kByteTables.low + 64));
    const __m512i high =
        _mm512_maskz_permutex2var_epi8(_mm512_test_epi8_mask(q, q), _mm512_load_si512(kByteTables.high), magnitude,
                                       _mm512_load_si512(kByteTables.high + 64));
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    const __m512i signed_high = _mm512_ternarylogic_epi32(high, q, sign, 0xf8);  // high | (q & sign)
    return {_mm512_unpacklo_epi8(low, signed_high), _mm512_unpackhi_epi8(low, signed_high)};
  }
  static Acc init() { return {_mm512_setzero_ps(), _mm512_setzero_ps()}; }
  static void step(Acc& acc, const Weights& w, const Act* x) {
    const auto quad = (__m512bh)_mm512_set1_epi64(read<long long>(x));
    acc.low = _mm512_dpbf16_ps(acc.low, (__m512bh)w.low, quad);
    acc.high = _mm512_dpbf16_ps(acc.high, (__m512bh)w.high, quad);
  }
  static Acc merge(const Acc& x, const Acc& y) { return {_mm512_add_ps(x.low, y.low), _mm512_add_ps(x.high, y.high)}; }
  static F32 result(const Acc& acc, const std::int32_t*) {
    return {_mm512_add_ps(_mm512_shuffle_ps(acc.low, acc.high, _MM_SHUFFLE(2, 0, 2, 0)),
                          _mm512_shuffle_ps(acc.low, acc.high, _MM_SHUFFLE(3, 1, 3, 1)))};
  }
};

/// DotInt8 for one and two rows, which are limited by decoding. A magnitude of 64 or more has the same high byte as 63. So that byte is
/// looked up in one register and not in two: that would take a second vpermi2b, whose three operands take ports from vdpbf16ps. From the
/// second-level cache of a Zen 4 one row has 44 GB/s instead of 41 and two have 33 instead of 29; from three rows on the additional
/// instruction costs more than it saves (November 2026).
struct FewRowsInt8 : DotInt8 {
  static Weights decode(const std::byte* p) {
    const __m512i q = _mm512_loadu_si512(p);
    const __m512i magnitude = _mm512_abs_epi8(q);
    const __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(kByteTables.low), magnitude,
                                                 _mm512_load_si512(kByteTables.low + 64));
    // The signed minimum leaves the magnitude 128 as it is, whose low bits are those of the first entry.
    const __m512i high =
        _mm512_maskz_permutexvar_epi8(_mm512_test_epi8_mask(q, q), _mm512_min_epi8(magnitude, _mm512_set1_epi8(63)),
                                      _mm512_load_si512(kByteTables.high));
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    const __m512i signed_high = _mm512_ternarylogic_epi32(high, q, sign, 0xf8);  // high | (q & sign)
    return {_mm512_unpacklo_epi8(low, signed_high), _mm512_unpackhi_epi8(low, signed_high)};
  }
};
template <int kRows>
struct Int8For : DotInt8 {};
template <>
struct Int8For<1> : FewRowsInt8 {};
template <>
struct Int8For<2> : FewRowsInt8 {};

inline void multiply_int8_by_dot(const TileArgs& args) {
  if (args.n_rows == 1) return multiply_few_rows<Int8For<1>, 1, 4>(args);
  if (args.n_rows == 2) return multiply_few_rows<Int8For<2>, 2, 2>(args);
  // Four accumulators a row, as for other policies, would not fit in registers beside the tables.
  if (args.n_rows == 3) return multiply_few_rows<DotInt8, 3, 2>(args);
  multiply<DotInt8, false>(args);
}

/// The BF16 bits of the E4M3 codes 0 to 127 (core/e4m3.h), low and high bytes apart, for vpermi2b, which ignores the sign in
/// the last bit of its index.
constexpr ByteTables make_e4m3_tables() {
  ByteTables tables{};
  for (unsigned code = 1; code < 128; ++code) {
    unsigned exponent = (code >> 3) + 120U;
    unsigned fraction = (code & 7U) << 4;
    if (code < 8) {  // subnormal: code * 2^-9
      unsigned place = 0;
      while ((code >> (place + 1)) != 0) ++place;
      exponent = 118U + place;
      fraction = (code << (7 - place)) & 0x7fU;
    }
    const unsigned bits = code == 0x7fU ? 0x7fc0U : (exponent << 7) | fraction;
    tables.low[code] = static_cast<std::uint8_t>(bits & 0xffU);
    tables.high[code] = static_cast<std::uint8_t>(bits >> 8);
  }
  return tables;
}
inline constexpr ByteTables kE4m3Tables = make_e4m3_tables();

/// E4M3 weights, converted to BF16 by table lookup in registers, exactly, and BF16 activations. Tile: [k / 4][16][4].
struct DotFp8 : DotInt8 {
  static Weights decode(const std::byte* p) {
    const __m512i q = _mm512_loadu_si512(p);
    const __m512i low =
        _mm512_permutex2var_epi8(_mm512_load_si512(kE4m3Tables.low), q, _mm512_load_si512(kE4m3Tables.low + 64));
    const __m512i high =
        _mm512_permutex2var_epi8(_mm512_load_si512(kE4m3Tables.high), q, _mm512_load_si512(kE4m3Tables.high + 64));
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    const __m512i signed_high = _mm512_ternarylogic_epi32(high, q, sign, 0xf8);  // high | (q & sign)
    return {_mm512_unpacklo_epi8(low, signed_high), _mm512_unpackhi_epi8(low, signed_high)};
  }
};

inline void multiply_fp8_by_dot(const TileArgs& args) {
  if (args.n_rows == 1) return multiply_few_rows<DotFp8, 1, 4>(args);
  // As for int8, more accumulators a row would not fit in registers beside the tables.
  if (args.n_rows == 2) return multiply_few_rows<DotFp8, 2, 2>(args);
  if (args.n_rows == 3) return multiply_few_rows<DotFp8, 3, 2>(args);
  multiply<DotFp8, false>(args);
}

/// Unpacks int8 or E4M3 [k / 4][16][4] to BF16 [k / 2][16][2], exactly; the row's scale is applied by the epilogue.
template <typename Policy>
inline void byte_tile_to_bf16(const std::byte* tile, std::int64_t k, std::byte* out) {
  for (std::int64_t step = 0; step < k / 4; ++step, tile += 64, out += 128) {
    prefetch(tile + kPrefetchBytes);
    const typename Policy::Weights w = Policy::decode(tile);
    const __m512 low = _mm512_castsi512_ps(w.low);
    const __m512 high = _mm512_castsi512_ps(w.high);
    _mm512_store_ps(out, _mm512_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)));
    _mm512_store_ps(out + 64, _mm512_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
  }
}
inline void int8_tile_to_bf16(const std::byte* tile, std::int64_t k, std::byte* out) {
  byte_tile_to_bf16<DotInt8>(tile, k, out);
}
inline void fp8_tile_to_bf16(const std::byte* tile, std::int64_t k, std::byte* out) {
  byte_tile_to_bf16<DotFp8>(tile, k, out);
}

/// Rows of a block. Each takes two registers for the sum of a group and two for its total, so that those of more rows would not fit in
/// registers.
inline constexpr int kInt8GroupRows = 8;

/// int8-g32 with BF16 activations (vec 4); each group's sum is scaled in f32. Few rows have several accumulators each, since
/// the additions to a single one would wait for each other.
template <int kRows>
void multiply_int8_group_dot(const TileArgs& args) {
  constexpr int kChains = kRows == 1 ? 4 : kRows < 4 ? 2 : 1;
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const std::uint16_t*>(args.a);
    DotInt8::Acc total[kRows];
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) total[m] = DotInt8::init();
    for (std::int64_t k = 0; k < args.k; k += kGroupColumns, w += kInt8GroupBytes) {
      DotInt8::Acc sum[kChains][kRows];
#pragma GCC unroll 12
      for (int i = 0; i < kChains * kRows; ++i) sum[i / kRows][i % kRows] = DotInt8::init();
#pragma GCC unroll 8
      for (int vector = 0; vector < kInt8GroupVectors; ++vector, x += 4 * kRows) {
        DotInt8::prefetch_ahead(w + vector * 64);
        const DotInt8::Weights weights = Int8For<kRows>::decode(w + vector * 64);
#pragma GCC unroll 12
        for (int m = 0; m < kRows; ++m) DotInt8::step(sum[vector % kChains][m], weights, x + 4 * m);
      }
      // Every second group starts in the middle of a line, so its last line is prefetched by none of its vectors.
      DotInt8::prefetch_ahead(w + 64 * kInt8GroupVectors);
      // The scales in the lane order that the unpack instructions gave the sums.
      const __m512 scales = load_f16(w + 64 * kInt8GroupVectors).v;
      const __m512 low = _mm512_unpacklo_ps(scales, scales);
      const __m512 high = _mm512_unpackhi_ps(scales, scales);
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) {
        DotInt8::Acc merged = sum[0][m];
#pragma GCC unroll 4
        for (int i = 1; i < kChains; ++i) merged = DotInt8::merge(merged, sum[i][m]);
        total[m].low = _mm512_fmadd_ps(merged.low, low, total[m].low);
        total[m].high = _mm512_fmadd_ps(merged.high, high, total[m].high);
      }
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) {
      store(args.c + m * args.c_stride + tile * kTileRows, DotInt8::result(total[m], nullptr));
    }
  }
}

inline void multiply_int8_group_by_dot(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() {
    if constexpr (kRows <= kInt8GroupRows) multiply_int8_group_dot<kRows>(args);
  });
}

// vcvtne2ps2bf16 puts one vector's results after the other's; a tile alternates them word by word.
alignas(64) inline constexpr std::uint16_t kAlternate[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                             21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                             11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
/// Two columns of 16 rows rounded to BF16, as pairs of a row. alternate: kAlternate.
inline __m512i bf16_pairs(const F32& even, const F32& odd, __m512i alternate) {
  return _mm512_permutexvar_epi16(alternate, (__m512i)_mm512_cvtne2ps_pbh(odd.v, even.v));
}
/// to: 64-byte aligned.
inline void store_bf16_pairs(const F32& even, const F32& odd, __m512i alternate, std::byte* to) {
  _mm512_store_si512(to, bf16_pairs(even, odd, alternate));
}

/// A tile in BF16, [k / 2][16][2]. Two adjacent columns are written at once.
class RoundedTile {
 public:
  /// tile: 64-byte aligned.
  explicit RoundedTile(std::byte* tile) : tile_(tile) {}
  /// Rounds columns k and k + 1 half to even; k is even.
  void put(std::int64_t k, const F32& even, const F32& odd) const {
    store_bf16_pairs(even, odd, alternate_, tile_ + k * kTileRows * 2);
  }

 private:
  std::byte* tile_;
  __m512i alternate_ = _mm512_load_si512(kAlternate);
};

/// Unpacks int8-g32 to BF16 [k / 2][16][2]: scale * q, exact in f32, then rounded once, half to even.
inline void int8_group_tile_to_bf16(const std::byte* tile, std::int64_t k, std::byte* out) {
  const RoundedTile rounded(out);
  for (std::int64_t first = 0; first < k; first += kGroupColumns, tile += kInt8GroupBytes) {
    const F32 scale = load_f16(tile + 64 * kInt8GroupVectors);
    prefetch(tile + kPrefetchBytes + 64 * kInt8GroupVectors);
    for (int vector = 0; vector < kInt8GroupVectors; ++vector) {
      prefetch(tile + kPrefetchBytes + vector * 64);
      const WidenInt8::Weights q = WidenInt8::decode(tile + vector * 64);
      rounded.put(first + 4 * vector, mul(q.k0, scale), mul(q.k1, scale));
      rounded.put(first + 4 * vector + 2, mul(q.k2, scale), mul(q.k3, scale));
    }
  }
}

// The BF16 bits of the nibbles 0 to 7 and -8 to -1, twice, because vpermw reads five bits of each index.
alignas(64) inline constexpr std::uint16_t kNibbleTable[32] = {
    0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0,
    0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0,
    0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80};

/// The values of a group of int4 in BF16, by a table.
struct Int4Pairs {
  static constexpr int kGroupBytes = kInt4GroupBytes;
  static __m512i table() { return _mm512_load_si512(kNibbleTable); }
  static Int4Pairs of(const std::byte*) { return {}; }
  static F32 scale(const std::byte* group) { return load_f16(group + kNibbleBytes); }
  /// Column pair kPair of the four in each lane.
  template <int kPair>
  [[nodiscard]] __m512i pair(__m512i lanes, __m512i table) const {
    return _mm512_permutexvar_epi16(_mm512_srli_epi16(lanes, 4 * kPair), table);
  }
};

// The BF16 bits of the E2M1 numbers, also twice.
alignas(64) inline constexpr std::uint16_t kE2m1Table[32] = {
    0x0000, 0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080, 0x40c0, 0x8000, 0xbf00, 0xbf80,
    0xbfc0, 0xc000, 0xc040, 0xc080, 0xc0c0, 0x0000, 0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040,
    0x4080, 0x40c0, 0x8000, 0xbf00, 0xbf80, 0xbfc0, 0xc000, 0xc040, 0xc080, 0xc0c0};

/// The same for mxfp4.
struct Mxfp4Pairs {
  static constexpr int kGroupBytes = kMxfp4GroupBytes;
  static __m512i table() { return _mm512_load_si512(kE2m1Table); }
  static Mxfp4Pairs of(const std::byte*) { return {}; }
  static F32 scale(const std::byte* group) { return load_e8m0(group + kNibbleBytes); }
  template <int kPair>
  [[nodiscard]] __m512i pair(__m512i lanes, __m512i table) const {
    return Int4Pairs().pair<kPair>(lanes, table);
  }
};

/// The BF16 bits of i - 8 for i from 0 to 23, and of i - 40 from 25 to 31: of all differences of a code and a zero point. The index is code
/// + 8 - zero point modulo 32, which is never 24.
alignas(64) inline constexpr std::uint16_t kDifferenceTable[32] = {
    0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000,
    0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0x4100, 0x4110, 0x4120, 0x4130, 0x4140, 0x4150,
    0x4160, 0x4170, 0x0000, 0xc170, 0xc160, 0xc150, 0xc140, 0xc130, 0xc120, 0xc110};

// The row of each byte of a vector of int4: four bytes a row.
alignas(64) inline constexpr std::uint8_t kRowOfByte[64] = {
    0,  0,  0,  0,  1,  1,  1,  1,  2,  2,  2,  2,  3,  3,  3,  3,  4,  4,  4,  4,  5,  5,
    5,  5,  6,  6,  6,  6,  7,  7,  7,  7,  8,  8,  8,  8,  9,  9,  9,  9,  10, 10, 10, 10,
    11, 11, 11, 11, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15};

/// The same for int4 with zero points. The differences of two of the four nibbles of each 16 bits are made at once, in bytes. This takes 7
/// instructions before the 4 permutations and 4 products of 64 bytes of weights, where there are 3 without zero points.
struct Int4ZeroPairs {
  static constexpr int kGroupBytes = kInt4ZeroGroupBytes;
  __m512i zeros;  ///< of the row of each byte
  static __m512i table() { return _mm512_load_si512(kDifferenceTable); }
  static Int4ZeroPairs of(const std::byte* group) {
    const __m128i bytes =
        _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(group + kInt4GroupBytes)));
    return {_mm512_permutexvar_epi8(_mm512_load_si512(kRowOfByte), _mm512_castsi128_si512(bytes))};
  }
  static F32 scale(const std::byte* group) { return Int4Pairs::scale(group); }
  template <int kPair>
  [[nodiscard]] __m512i pair(__m512i lanes, __m512i table) const {
    const __m512i shifted = kPair % 2 == 0 ? lanes : _mm512_srli_epi16(lanes, 4);
    // (x ^ 8) & 15 is the low nibble of a byte plus 8; vpermw reads the last five bits of each 16.
    const __m512i plus_8 = _mm512_ternarylogic_epi32(shifted, _mm512_set1_epi8(8), _mm512_set1_epi8(15), 0x28);
    const __m512i differences = _mm512_sub_epi8(plus_8, zeros);
    return _mm512_permutexvar_epi16(kPair < 2 ? differences : _mm512_srli_epi16(differences, 8), table);
  }
};

/// Multiplies column pair kPair of the four in each lane and adds to accumulator kPair % kChains of every row.
template <int kPair, typename Group, int kRows, int kChains>
inline void dot_nibble_pair(__m512 (&sum)[kChains][kRows], const Group& group, __m512i lanes, __m512i table,
                            const std::uint16_t* x) {
  const auto w = (__m512bh)group.template pair<kPair>(lanes, table);
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
    const auto pair = (__m512bh)_mm512_set1_epi32(read<std::int32_t>(x + 2 * (kPair * kRows + m)));
    sum[kPair % kChains][m] = _mm512_dpbf16_ps(sum[kPair % kChains][m], w, pair);
  }
}

/// int4 or mxfp4, converted to BF16 by table lookup in registers, with BF16 activations (vec 2); the sum of each group is scaled in f32.
/// Few rows have several accumulators each, since the additions to a single one would wait for each other: from the second-level cache of a
/// Zen 4 this raises one row from 28 to 35 GB/s, and four rows from 13.2 to 14.8, which is the peak of vdpbf16ps. One row is limited by the
/// number of instructions: for 64 bytes of weights 3 shifts, 4 permutations and 4 products take 6.7 cycles. Making BF16 by arithmetic
/// instead (the nibble as the mantissa of 136 + q, less 136 times the activations) takes 6.4, and vpdpbusd with activations in three digits
/// 6.7 (November 2026). Group: Int4Pairs, Int4ZeroPairs or Mxfp4Pairs.
template <typename Group, int kRows>
void multiply_nibbles_dot(const TileArgs& args) {
  constexpr int kChains = kRows == 1 ? 4 : kRows <= 5 ? 2 : 1;
  const __m512i table = Group::table();
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const std::uint16_t*>(args.a);
    __m512 total[kRows];
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) total[m] = _mm512_setzero_ps();
    for (std::int64_t k = 0; k < args.k; k += kGroupColumns, w += Group::kGroupBytes) {
      const Group group = Group::of(w);
      __m512 sum[kChains][kRows];
#pragma GCC unroll 12
      for (int i = 0; i < kChains * kRows; ++i) sum[i / kRows][i % kRows] = _mm512_setzero_ps();
#pragma GCC unroll 4
      for (int vector = 0; vector < 4; ++vector, x += 8 * kRows) {
        prefetch(w + kDecodedPrefetchBytes + vector * 64);
        const __m512i lanes = _mm512_loadu_si512(w + vector * 64);
        dot_nibble_pair<0>(sum, group, lanes, table, x);
        dot_nibble_pair<1>(sum, group, lanes, table, x);
        dot_nibble_pair<2>(sum, group, lanes, table, x);
        dot_nibble_pair<3>(sum, group, lanes, table, x);
      }
      const __m512 scale = Group::scale(w).v;
#pragma GCC unroll 12
      for (int m = 0; m < kRows; ++m) {
        __m512 merged = sum[0][m];
        if constexpr (kChains == 2) merged = _mm512_add_ps(merged, sum[1][m]);
        if constexpr (kChains == 4) {
          merged = _mm512_add_ps(_mm512_add_ps(merged, sum[1][m]), _mm512_add_ps(sum[2][m], sum[3][m]));
        }
        total[m] = _mm512_fmadd_ps(merged, scale, total[m]);
      }
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) store(args.c + m * args.c_stride + tile * kTileRows, {total[m]});
  }
}

/// Writes the columns of a tile of int4 or mxfp4: scale * q, or scale * (q - zero), exact in f32. Group: Int4Pairs, Int4ZeroPairs or
/// Mxfp4Pairs. Tile: RoundedTile or PieceTile. Nothing is prefetched here, because the block kernel has prefetched the tile
/// (BlockArgs::next_tiles).
template <typename Group, typename Tile>
inline void unpack_nibble_groups(const std::byte* tile, std::int64_t n_columns, const Tile& out) {
  const __m512i table = Group::table();
  for (std::int64_t first = 0; first < n_columns; first += kGroupColumns, tile += Group::kGroupBytes) {
    const F32 scale = Group::scale(tile);
    const Group group = Group::of(tile);
    const auto put_pair = [&](std::int64_t k, __m512i pair) {
      const I32 q = {pair};
      out.put(k, mul(bf16_even(q), scale), mul(bf16_odd(q), scale));
    };
    for (int vector = 0; vector < 4; ++vector) {
      const __m512i lanes = _mm512_loadu_si512(tile + vector * 64);
      const std::int64_t k = first + 8 * vector;
      put_pair(k, group.template pair<0>(lanes, table));
      put_pair(k + 2, group.template pair<1>(lanes, table));
      put_pair(k + 4, group.template pair<2>(lanes, table));
      put_pair(k + 6, group.template pair<3>(lanes, table));
    }
  }
}
// These functions unpack to BF16 [k / 2][16][2] and round each weight once. Weights of mxfp4 need no rounding, but the conversion makes
// those below 2^-126 zero.
inline void int4_tile_to_bf16(const std::byte* tile, std::int64_t k, std::byte* out) {
  unpack_nibble_groups<Int4Pairs>(tile, k, RoundedTile(out));
}
inline void int4_zero_tile_to_bf16(const std::byte* tile, std::int64_t k, std::byte* out) {
  unpack_nibble_groups<Int4ZeroPairs>(tile, k, RoundedTile(out));
}
inline void mxfp4_tile_to_bf16(const std::byte* tile, std::int64_t k, std::byte* out) {
  unpack_nibble_groups<Mxfp4Pairs>(tile, k, RoundedTile(out));
}

/// Unpacks blocks of GGUF to BF16 [k / 2][16][2]: their values in f32, rounded half to even. Block: a struct of
/// matmul_k_blocks-inl.h or matmul_gguf_blocks-inl.h.
template <typename Block>
void block_tile_to_bf16(const std::byte* tile, std::int64_t k, std::byte* out) {
  const __m512i alternate = _mm512_load_si512(kAlternate);
  for (std::int64_t at = 0; at < k;
       at += Block::kColumns, tile += Block::kBytes, out += Block::kColumns * kTileRows * 2) {
    Block::for_each_eight(
        tile, [&](const auto& weights, int first) __attribute__((always_inline)) {
          std::byte* const to = out + first * kTileRows * 2;
          store_bf16_pairs(weights.template column<0>(), weights.template column<1>(), alternate, to);
          store_bf16_pairs(weights.template column<2>(), weights.template column<3>(), alternate, to + 64);
          store_bf16_pairs(weights.template column<4>(), weights.template column<5>(), alternate, to + 128);
          store_bf16_pairs(weights.template column<6>(), weights.template column<7>(), alternate, to + 192);
        });
  }
}

/// Unpacks a group of int4 or mxfp4 to BF16 [k / 2][16][2], exactly and without its scales. to: 64-byte aligned. Group: Int4Pairs
/// or Mxfp4Pairs.
template <typename Group>
inline void nibble_group_values(const std::byte* group, std::byte* to) {
  const __m512i table = Group::table();
#pragma GCC unroll 4
  for (int vector = 0; vector < 4; ++vector) {
    const __m512i lanes = _mm512_loadu_si512(group + vector * 64);
#pragma GCC unroll 4
    for (unsigned pair = 0; pair < 4; ++pair, to += 64) {
      _mm512_store_si512(to, _mm512_permutexvar_epi16(_mm512_srli_epi16(lanes, 4 * pair), table));
    }
  }
}

inline void multiply_int4_by_dot(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_nibbles_dot<Int4Pairs, kRows>(args); });
}

inline void multiply_int4_zero_by_dot(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_nibbles_dot<Int4ZeroPairs, kRows>(args); });
}

inline void multiply_mxfp4_by_dot(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_nibbles_dot<Mxfp4Pairs, kRows>(args); });
}

}  // namespace secondsource::cpu::SS_CPU_ISA
