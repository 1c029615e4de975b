#pragma once
// Matmul of int8 weights and int8 activations by vpdpbusd (byte_products-inl.h). Formulas, shapes and aliasing are those of matmul-inl.h
// and matmul_quantized_groups-inl.h; activations are stored unsigned, as q + 128.

#ifndef SS_CPU_ISA  // compiled on its own: see target-inl.h
#define SS_CPU_ISA avx512_vnni
#define SS_CPU_SIMD_AVX512
#endif

#include "cpu/kernels/byte_products-inl.h"
#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_dot-inl.h"
#include "cpu/kernels/matmul_groups-inl.h"
#include "cpu/kernels/matmul_quantized_groups-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

struct DotU8 : U8Quads {
  static void step(Acc& acc, const Weights& w, const Act* x) { acc = add_products(acc, four_bytes(x), w); }
  static F32 result(const Acc& acc, const std::int32_t* row_sums) {
    return to_f32(sub_i32(acc, shifted_bits<-7, 0xffffffffU>(load_i32(row_sums))));
  }
};

inline constexpr std::uint8_t kFourOffsets[4] = {U8Quads::kActOffset, U8Quads::kActOffset, U8Quads::kActOffset,
                                                 U8Quads::kActOffset};

/// Unpacks int8-g32 to kInt8GroupOffset: the 8 vectors of a group as they are, its scales in f32, and
/// -128 * sum_{k in group} w, the int32 at which every row's sum of the group starts. out: 64-byte aligned.
inline void int8_group_tile_with_offsets(const std::byte* tile, std::int64_t k, std::byte* out) {
  const I32 offset = four_bytes(kFourOffsets);
  for (std::int64_t group = 0; group < k / kGroupColumns; ++group, tile += kInt8GroupBytes, out += kOffsetGroupBytes) {
    I32 sum = zero_i32();
    for (int vector = 0; vector < kInt8GroupVectors; ++vector) {
      prefetch(tile + kPrefetchBytes + vector * 64);
      const I32 w = load_i32(tile + vector * 64);
      store_i32(out + vector * 64, w);
      sum = add_products(sum, offset, w);
    }
    store(reinterpret_cast<float*>(out + 64 * kInt8GroupVectors), load_f16(tile + 64 * kInt8GroupVectors));
    store_i32(out + 64 * kInt8GroupVectors + 64, sub_i32(zero_i32(), sum));
  }
}

/// Unpacks int4 to kInt8GroupOffset in column order. The values are 16 times those of the tile and the scales a sixteenth.
/// out: 64-byte aligned.
inline void int4_tile_with_offsets(const std::byte* tile, std::int64_t k, std::byte* out) {
  const I32 offset = four_bytes(kFourOffsets);
  for (std::int64_t group = 0; group < k / kGroupColumns; ++group, tile += kInt4GroupBytes, out += kOffsetGroupBytes) {
    I32 sum = zero_i32();
    for (int vector = 0; vector < Int4Groups::kVectors; ++vector) {
      prefetch(tile + kPrefetchBytes + vector * 64);
      I32 quads[Int4Groups::kQuads];
      Int4Groups::load_quads(tile + vector * 64, quads);
      sum = add_products(add_products(sum, offset, quads[0]), offset, quads[1]);
      I32 columns[2];
      nibbles_in_column_order(quads[0], quads[1], columns);
      store_i32(out + vector * 128, columns[0]);
      store_i32(out + vector * 128 + 64, columns[1]);
    }
    store(reinterpret_cast<float*>(out + 64 * kInt8GroupVectors),
          Int4Groups::load_scale(tile + 64 * Int4Groups::kVectors));
    store_i32(out + 64 * kInt8GroupVectors + 64, sub_i32(zero_i32(), sum));
  }
}

/// Rows of a block: with two tiles of AVX-512 that is 12 group sums and 12 totals, which stay in registers. AVX2 has registers for the
/// group sums of one tile, 12 as well, and keeps the totals in memory.
inline constexpr int kOffsetGroupRows = 6;
inline constexpr int kOffsetGroupTiles = kRowBlock >= 12 ? 2 : 1;

/// kInt8GroupOffset tiles from `tile` on, kOffsetGroupTiles of them, times kRows rows; the last of an odd number of tiles is computed twice
/// and stored once. kPrefetches: also prefetches args.next_a and args.next_tiles.
template <int kRows, bool kPrefetches>
inline void multiply_offset_groups_of(const TileArgs& args, std::int64_t tile) {
  constexpr int kTiles = kOffsetGroupTiles;
  const bool is_pair = kTiles == 2 && tile + 1 < args.n_tiles;
  const std::byte* w[kTiles];
#pragma GCC unroll 2
  for (int t = 0; t < kTiles; ++t) w[t] = args.tiles + (tile + (is_pair ? t : 0)) * args.tile_bytes;
  const auto* x = static_cast<const std::uint8_t*>(args.a);
  const auto* next_x = args.next_a == nullptr ? x : static_cast<const std::uint8_t*>(args.next_a);
  const std::byte* next_tiles = args.next_tiles == nullptr ? w[0] : args.next_tiles;
  F32 total[kRows][kTiles];
#pragma GCC unroll 6
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 2
    for (int t = 0; t < kTiles; ++t) total[m][t] = zero();
  }
  for (std::int64_t k = 0; k < args.k; k += kGroupColumns) {
    I32 sum[kRows][kTiles];
#pragma GCC unroll 6
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 2
      for (int t = 0; t < kTiles; ++t) sum[m][t] = load_i32(w[t] + 64 * kInt8GroupVectors + 64);
    }
#pragma GCC unroll 8
    for (int vector = 0; vector < kInt8GroupVectors; ++vector, x += 4 * kRows) {
      if constexpr (kPrefetches) {
        prefetch_far(next_x);
        prefetch_far(next_tiles);
        next_x += 4 * kRows;
        next_tiles += args.next_tiles_step;
      }
      I32 weights[kTiles];
#pragma GCC unroll 2
      for (int t = 0; t < kTiles; ++t) weights[t] = load_i32(w[t] + vector * 64);
#pragma GCC unroll 6
      for (int m = 0; m < kRows; ++m) {
        const I32 quad = four_bytes(x + 4 * m);
#pragma GCC unroll 2
        for (int t = 0; t < kTiles; ++t) sum[m][t] = add_products(sum[m][t], quad, weights[t]);
      }
    }
#pragma GCC unroll 2
    for (int t = 0; t < kTiles; ++t) {
      const F32 scale = load(reinterpret_cast<const float*>(w[t] + 64 * kInt8GroupVectors));
#pragma GCC unroll 6
      for (int m = 0; m < kRows; ++m) total[m][t] = fma(to_f32(sum[m][t]), scale, total[m][t]);
      w[t] += kOffsetGroupBytes;
    }
  }
#pragma GCC unroll 6
  for (int m = 0; m < kRows; ++m) {
    float* const c = args.c + m * args.c_stride + tile * kTileRows;
    store(c, total[m][0]);
    if constexpr (kTiles == 2) {
      if (is_pair) store(c + kTileRows, total[m][1]);
    }
  }
}

inline void multiply_offset_groups(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() {
    if constexpr (kRows <= kOffsetGroupRows) {
      const bool prefetches = args.next_a != nullptr || args.next_tiles != nullptr;
      if (prefetches) multiply_offset_groups_of<kRows, true>(args, 0);
      for (std::int64_t tile = prefetches ? kOffsetGroupTiles : 0; tile < args.n_tiles; tile += kOffsetGroupTiles) {
        multiply_offset_groups_of<kRows, false>(args, tile);
      }
    }
  });
}

/// Registers the products by vpdpbusd: those of int8 with activations in 8 bits, and with many rows those of int8-g32 and int4.
inline void use_vnni_products(KernelTable& table) {
  table.products[int(Product::kInt8Quantized)] = {
      ActType::kU8, 4, 4, kRowBlock, multiply<DotU8>, "matmul_int8_int8_i32acc"};
  table.products[int(Product::kInt8GroupOffset)] = {
      ActType::kU8, 4, kGroupColumns, kOffsetGroupRows, multiply_offset_groups, "matmul_int8g32_int8_f32acc"};
  table.unpack[int(Product::kInt8GroupQuantized)] = {Product::kInt8GroupOffset, int8_group_tile_with_offsets};
  table.unpack[int(Product::kInt4Quantized)] = {Product::kInt8GroupOffset, int4_tile_with_offsets};
}

}  // namespace secondsource::cpu::SS_CPU_ISA
