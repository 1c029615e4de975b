#pragma once
// Unpacking::unpack to f32 tiles [k][16], for matmuls of many rows:
//
//   out[k * 16 + r] = scale * w[r, k],   exact in f32
//
// Here w is the code; in int4-zp, the zero point of its group is subtracted. The scale is that of the group in int8-g32, int4, int4-zp and
// mxfp4. In the other types it is 1, and a scale for each row is applied to the sums later.
//
// In fp8-g128 the scale is that of the group, too. It is f32, so products have 28 bits and are rounded to f32.
//
// tile: `k` columns in its own layout. out: k * 16 f32, 64-byte aligned, not overlapping the tile.

#include "cpu/kernels/matmul-inl.h"
#include "cpu/kernels/matmul_groups-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Calls store_step(weights, to) for each step of a tile: kVec columns of 16 weights, and where their f32 go.
template <typename Policy, typename Store>
inline void widen_steps(const std::byte* tile, std::int64_t k, std::byte* out, const Store& store_step) {
  auto* to = reinterpret_cast<float*>(out);
  for (std::int64_t step = 0; step < k / Policy::kVec; ++step, tile += Policy::kStepBytes) {
    prefetch(tile + kPrefetchBytes);
    store_step(Policy::decode(tile), to);
    to += Policy::kVec * kTileRows;
  }
}

inline void f16_tile_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  widen_steps<WidenF16>(tile, k, out, [](const F32& w, float* to) { store(to, w); });
}

inline void bf16_tile_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  widen_steps<WidenBf16>(tile, k, out, [](const WidenBf16::Weights& w, float* to) {
    store(to, w.even);
    store(to + kTileRows, w.odd);
  });
}

inline void store_quads(const WidenInt8::Weights& w, float* to) {
  store(to, w.k0);
  store(to + kTileRows, w.k1);
  store(to + 2 * kTileRows, w.k2);
  store(to + 3 * kTileRows, w.k3);
}

/// The scale of the row is not applied here, but in the epilogue.
inline void int8_tile_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  widen_steps<WidenInt8>(tile, k, out, store_quads);
}

inline void fp8_tile_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  widen_steps<WidenFp8>(tile, k, out, store_quads);
}

template <typename Group>
inline void byte_groups_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  using Codes = typename Group::Codes;
  for (std::int64_t at = 0; at < k; at += Group::kColumns, tile += Group::kBytes) {
    const F32 scale = Group::scale(tile);
    widen_steps<Codes>(tile, Group::kColumns, out, [&scale](const typename Codes::Weights& q, float* to) {
      store_quads({mul(q.k0, scale), mul(q.k1, scale), mul(q.k2, scale), mul(q.k3, scale)}, to);
    });
    out += Group::kColumns * kTileRows * sizeof(float);
  }
}

inline void int8_group_tile_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  byte_groups_to_f32<Int8Group32>(tile, k, out);
}

inline void fp8_group_tile_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  byte_groups_to_f32<Fp8Group128>(tile, k, out);
}

template <int kColumn, typename Group>
inline void store_nibbles(const Group& group, const I32& lanes, const F32& scale, float* to) {
  store(to + kColumn * kTileRows, mul(group.template column<kColumn>(lanes), scale));
}

template <typename Group>
inline void nibble_groups_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  auto* to = reinterpret_cast<float*>(out);
  for (std::int64_t at = 0; at < k; at += kGroupColumns, tile += Group::kGroupBytes) {
    const F32 scale = Group::scale(tile);
    const Group group = Group::of(tile);
    for (int vector = 0; vector < 4; ++vector, to += 8 * kTileRows) {
      prefetch(tile + kPrefetchBytes + vector * 64);
      const I32 lanes = load_i32(tile + vector * 64);
      store_nibbles<0>(group, lanes, scale, to);
      store_nibbles<1>(group, lanes, scale, to);
      store_nibbles<2>(group, lanes, scale, to);
      store_nibbles<3>(group, lanes, scale, to);
      store_nibbles<4>(group, lanes, scale, to);
      store_nibbles<5>(group, lanes, scale, to);
      store_nibbles<6>(group, lanes, scale, to);
      store_nibbles<7>(group, lanes, scale, to);
    }
  }
}

inline void int4_tile_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  nibble_groups_to_f32<SymmetricInt4>(tile, k, out);
}

inline void int4_zero_tile_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  nibble_groups_to_f32<ZeroPointInt4>(tile, k, out);
}

inline void mxfp4_tile_to_f32(const std::byte* tile, std::int64_t k, std::byte* out) {
  nibble_groups_to_f32<Mxfp4Group>(tile, k, out);
}

}  // namespace secondsource::cpu::SS_CPU_ISA
