#pragma once
// Matmul of int8 weights and int8 activations with the AVX-512 instruction vpdpbusd, which adds four products of an
// unsigned and a signed byte to each int32 lane. Formulas, shapes and aliasing are those of matmul-inl.h and
// matmul_quantized_groups-inl.h; activations are stored unsigned, as q + 128.

#ifndef SS_CPU_ISA  // opened by itself: target-inl.h
#define SS_CPU_ISA avx512_vnni
#define SS_CPU_SIMD_AVX512
#endif

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_dot-inl.h"
#include "cpu/kernels/matmul_groups-inl.h"
#include "cpu/kernels/matmul_quantized_groups-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

struct DotU8 : U8Quads {
  static void step(Acc& acc, const Weights& w, const Act* x) {
    acc.v = _mm512_dpbusd_epi32(acc.v, _mm512_set1_epi32(read<std::int32_t>(x)), w.v);
  }
  static F32 result(const Acc& acc, const std::int32_t* row_sums) {
    return to_f32({_mm512_sub_epi32(acc.v, _mm512_slli_epi32(_mm512_loadu_si512(row_sums), 7))});
  }
};

/// Unpacks int8-g32 to kInt8GroupOffset: the 8 vectors of a group as they are, its scales in f32, and
/// -128 * sum_{k in group} w, the int32 at which every row's sum of the group starts. out: 64-byte aligned.
inline void int8_group_tile_with_offsets(const std::byte* tile, std::int64_t k, std::byte* out) {
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(0x80));
  for (std::int64_t group = 0; group < k / kGroupColumns; ++group, tile += kInt8GroupBytes, out += kOffsetGroupBytes) {
    __m512i sum = _mm512_setzero_si512();
    for (int vector = 0; vector < kInt8GroupVectors; ++vector) {
      prefetch(tile + kPrefetchBytes + vector * 64);
      const __m512i w = _mm512_loadu_si512(tile + vector * 64);
      _mm512_store_si512(out + vector * 64, w);
      sum = _mm512_dpbusd_epi32(sum, offset, w);
    }
    _mm512_store_ps(out + 64 * kInt8GroupVectors, load_f16(tile + 64 * kInt8GroupVectors).v);
    _mm512_store_si512(out + 64 * kInt8GroupVectors + 64, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
  }
}

/// Unpacks int4 to kInt8GroupOffset in column order. The values are 16 times those of the tile and the scales a sixteenth.
/// out: 64-byte aligned.
inline void int4_tile_with_offsets(const std::byte* tile, std::int64_t k, std::byte* out) {
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(0x80));
  // Bytes 0, 2, 1, 3 of each lane, so that the columns 0, 4, 1, 5 become 0, 1, 4, 5.
  const __m512i swap = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15));
  constexpr __mmask32 kUpperHalves = 0xaaaaaaaaU;
  for (std::int64_t group = 0; group < k / kGroupColumns; ++group, tile += kInt4GroupBytes, out += kOffsetGroupBytes) {
    __m512i sum = _mm512_setzero_si512();
    for (int vector = 0; vector < Int4Groups::kVectors; ++vector) {
      prefetch(tile + kPrefetchBytes + vector * 64);
      I32 quads[Int4Groups::kQuads];
      Int4Groups::load_quads(tile + vector * 64, quads);
      sum = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, offset, quads[0].v), offset, quads[1].v);
      const __m512i low = _mm512_shuffle_epi8(quads[0].v, swap);   // columns 0, 1, 4, 5
      const __m512i high = _mm512_shuffle_epi8(quads[1].v, swap);  // columns 2, 3, 6, 7
      const __m512i first = _mm512_mask_blend_epi16(kUpperHalves, low, _mm512_slli_epi32(high, 16));
      const __m512i second = _mm512_mask_blend_epi16(kUpperHalves, _mm512_srli_epi32(low, 16), high);
      _mm512_store_si512(out + vector * 128, first);
      _mm512_store_si512(out + vector * 128 + 64, second);
    }
    _mm512_store_ps(out + 64 * kInt8GroupVectors, Int4Groups::load_scale(tile + 64 * Int4Groups::kVectors).v);
    _mm512_store_si512(out + 64 * kInt8GroupVectors + 64, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
  }
}

/// Rows of a block: with two tiles that is 12 group sums and 12 totals, which stay in registers.
inline constexpr int kOffsetGroupRows = 6;

/// kInt8GroupOffset tiles `tile` and `tile` + 1 times kRows rows; the last of an odd number of tiles is computed twice and
/// stored once. kPrefetches: also prefetches args.next_a and args.next_tiles.
template <int kRows, bool kPrefetches>
inline void multiply_offset_groups_of(const TileArgs& args, std::int64_t tile) {
  const bool is_pair = tile + 1 < args.n_tiles;
  const std::byte* w[2] = {args.tiles + tile * args.tile_bytes, args.tiles + (tile + is_pair) * args.tile_bytes};
  const auto* x = static_cast<const std::uint8_t*>(args.a);
  const auto* next_x = args.next_a == nullptr ? x : static_cast<const std::uint8_t*>(args.next_a);
  const std::byte* next_tiles = args.next_tiles == nullptr ? w[0] : args.next_tiles;
  __m512 total[kRows][2];
#pragma GCC unroll 6
  for (int m = 0; m < kRows; ++m) total[m][0] = total[m][1] = _mm512_setzero_ps();
  for (std::int64_t k = 0; k < args.k; k += kGroupColumns) {
    __m512i sum[kRows][2];
#pragma GCC unroll 6
    for (int m = 0; m < kRows; ++m) {
      sum[m][0] = _mm512_load_si512(w[0] + 64 * kInt8GroupVectors + 64);
      sum[m][1] = _mm512_load_si512(w[1] + 64 * kInt8GroupVectors + 64);
    }
#pragma GCC unroll 8
    for (int vector = 0; vector < kInt8GroupVectors; ++vector, x += 4 * kRows) {
      if constexpr (kPrefetches) {
        prefetch_far(next_x);
        prefetch_far(next_tiles);
        next_x += 4 * kRows;
        next_tiles += args.next_tiles_step;
      }
      const __m512i first = _mm512_load_si512(w[0] + vector * 64);
      const __m512i second = _mm512_load_si512(w[1] + vector * 64);
#pragma GCC unroll 6
      for (int m = 0; m < kRows; ++m) {
        const __m512i quad = _mm512_set1_epi32(read<std::int32_t>(x + 4 * m));
        sum[m][0] = _mm512_dpbusd_epi32(sum[m][0], quad, first);
        sum[m][1] = _mm512_dpbusd_epi32(sum[m][1], quad, second);
      }
    }
    const __m512 scale[2] = {_mm512_load_ps(w[0] + 64 * kInt8GroupVectors),
                             _mm512_load_ps(w[1] + 64 * kInt8GroupVectors)};
#pragma GCC unroll 6
    for (int m = 0; m < kRows; ++m) {
      total[m][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[m][0]), scale[0], total[m][0]);
      total[m][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[m][1]), scale[1], total[m][1]);
    }
    w[0] += kOffsetGroupBytes;
    w[1] += kOffsetGroupBytes;
  }
#pragma GCC unroll 6
  for (int m = 0; m < kRows; ++m) {
    float* const c = args.c + m * args.c_stride + tile * kTileRows;
    store(c, {total[m][0]});
    if (is_pair) store(c + kTileRows, {total[m][1]});
  }
}

inline void multiply_offset_groups(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() {
    if constexpr (kRows <= kOffsetGroupRows) {
      const bool prefetches = args.next_a != nullptr || args.next_tiles != nullptr;
      if (prefetches) multiply_offset_groups_of<kRows, true>(args, 0);
      for (std::int64_t tile = prefetches ? 2 : 0; tile < args.n_tiles; tile += 2) {
        multiply_offset_groups_of<kRows, false>(args, tile);
      }
    }
  });
}

}  // namespace secondsource::cpu::SS_CPU_ISA
