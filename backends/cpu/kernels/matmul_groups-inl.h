#pragma once
// Matmul of int8-g32, int4, int4-zp, fp8-g128 and mxfp4 weights, widened to f32 in registers, with f32 activations:
//
//   c[m, n] = sum_g scale[n, g] * sum_{k in group g} a[m, k] * (q[n, k] - zero[n, g]),   groups of 32 or 128 columns
//
// with zero points in int4-zp alone. a: [k / vec][n_rows][vec] f32, vec 4 for int8 and fp8, and 1 for int4 and mxfp4. Tiles: groups as
// kernel_table.h lays them out, 64-byte aligned at the tile's start only. c: [n_rows, 16 * n_tiles] f32, overlapping neither.
// Everything is accumulated in f32.

#include "cpu/kernels/matmul-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

// The sums of a group are scaled, not its weights. With many rows no registers are left for the totals, which are then read from memory and
// written once a group. Scaling the weights instead would take a multiplication for each column, on the ports that multiply-adds use.

/// Accumulators per row within a group. Few rows have several as far as registers allow, since the additions to a single
/// one would wait for each other.
template <int kRows>
inline constexpr int kGroupChains = 5 * kRows <= kAccumulators   ? 4
                                    : 4 * kRows <= kAccumulators ? 2
                                                                 : 1;

/// A group's sums.
template <int kRows>
struct GroupSums {
  F32 sum[kGroupChains<kRows>][kRows];

  [[gnu::always_inline]] GroupSums() {
#pragma GCC unroll 20
    for (int i = 0; i < kGroupChains<kRows> * kRows; ++i) sum[i / kRows][i % kRows] = zero();
  }
  [[gnu::always_inline]] void add_to(F32 (&total)[kRows], const F32& scale) const {
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) {
      F32 merged = sum[0][m];
#pragma GCC unroll 4
      for (int i = 1; i < kGroupChains<kRows>; ++i) merged = add(merged, sum[i][m]);
      total[m] = fma(merged, scale, total[m]);
    }
  }
};

// Bytes in groups. A group of int8-g32 has 8 vectors of 4 columns x 16 rows as WidenInt8 has them, then 16 FP16 scales; one of
// fp8-g128 has 32 such vectors of E4M3, then 16 f32 scales.
inline constexpr int kInt8GroupVectors = kGroupColumns / 4;

struct Int8Group32 {
  using Codes = WidenInt8;
  static constexpr int kColumns = kGroupColumns;
  static constexpr int kBytes = kInt8GroupBytes;
  static F32 scale(const std::byte* group) { return load_f16(group + 16 * kColumns); }
};

struct Fp8Group128 {
  using Codes = WidenFp8;
  static constexpr int kColumns = kFp8GroupColumns;
  static constexpr int kBytes = kFp8GroupBytes;
  static F32 scale(const std::byte* group) { return load(reinterpret_cast<const float*>(group + 16 * kColumns)); }
};

/// Group: Int8Group32 or Fp8Group128, with f32 activations (vec 4).
template <typename Group, int kRows>
void multiply_byte_groups_widened(const TileArgs& args) {
  constexpr int kVectors = Group::kColumns / 4;
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const float*>(args.a);
    F32 total[kRows];
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) total[m] = zero();
    for (std::int64_t k = 0; k < args.k; k += Group::kColumns, w += Group::kBytes) {
      GroupSums<kRows> sums;
      prefetch(w + kPrefetchBytes + 64 * kVectors);
      for (int part = 0; part < kVectors; part += 4) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i, x += 4 * kRows) {
          const std::byte* const vector = w + (part + i) * 64;
          prefetch(vector + kPrefetchBytes);
          // i is a constant after unrolling; with a run-time index the accumulators would live in memory.
          F32(&sum)[kRows] = sums.sum[i % kGroupChains<kRows>];
          const auto add_column = [&]<int kColumn>() {
            const F32 q = Group::Codes::template column<kColumn>(load_i32(vector));
#pragma GCC unroll 12
            for (int m = 0; m < kRows; ++m) sum[m] = fma(q, broadcast(x[4 * m + kColumn]), sum[m]);
          };
          // One column after the other, since AVX2 has no registers for four of them beside the sums of several rows.
          add_column.template operator()<0>();
          add_column.template operator()<1>();
          add_column.template operator()<2>();
          add_column.template operator()<3>();
        }
      }
      sums.add_to(total, Group::scale(w));
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) store(args.c + m * args.c_stride + tile * kTileRows, total[m]);
  }
}

inline void multiply_int8_group(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_byte_groups_widened<Int8Group32, kRows>(args); });
}

inline void multiply_fp8_group(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_byte_groups_widened<Fp8Group128, kRows>(args); });
}

// int4. A group of 32 columns: 4 vectors of 8 columns x 16 rows, then 16 FP16 scales, and in int4-zp 16 zero points in int8.
// Lane r of a vector holds row r: columns 0, 2, 4, 6 in the nibbles of its low half and 1, 3, 5, 7 in those of its high half,
// two's complement. mxfp4 has E2M1 numbers in the same places, and 16 scales in E8M0.

/// Bytes of the nibbles of a group, after which its scales follow.
inline constexpr int kNibbleBytes = 16 * kGroupColumns / 2;
/// Where the four bits of column kColumn (0 to 7) begin in a lane.
template <int kColumn>
inline constexpr int kNibblePlace = 16 * (kColumn & 1) + 4 * (kColumn >> 1);

/// Column kColumn (0 to 7) of 16 rows as f32, times kNibbleUnit.
template <int kColumn>
inline F32 nibble(const I32& lanes) {
  return nibble_at<kNibblePlace<kColumn>>(lanes);
}

/// The 16 scales of a group by which nibble() is to be multiplied. kNibbleUnit is a power of two, so that dividing by it is
/// exact, and products have the same bits as without it (below 2^97, which no activation reaches).
inline F32 load_nibble_scale(const void* p) {
  const F32 scale = load_f16(p);
  if constexpr (kNibbleUnit == 1.0F) return scale;
  return mul(scale, broadcast(1.0F / kNibbleUnit));
}

/// A group of int4 without zero points.
struct SymmetricInt4 {
  static constexpr int kGroupBytes = kInt4GroupBytes;
  static SymmetricInt4 of(const std::byte*) { return {}; }
  /// The 16 scales by which column() is to be multiplied.
  static F32 scale(const std::byte* group) { return load_nibble_scale(group + kNibbleBytes); }
  /// Column kColumn (0 to 7) of 16 rows less their zero points, times kNibbleUnit.
  template <int kColumn>
  [[nodiscard]] F32 column(const I32& lanes) const {
    return nibble<kColumn>(lanes);
  }
};

/// A group of int4 with zero points. The differences are whole numbers from -15 to 15, exact in f32 and in BF16.
struct ZeroPointInt4 {
  static constexpr int kGroupBytes = kInt4ZeroGroupBytes;
  F32 zeros;  ///< times kNibbleUnit
  static ZeroPointInt4 of(const std::byte* group) {
    const F32 zeros = load_i8(group + kInt4GroupBytes);
    if constexpr (kNibbleUnit == 1.0F) return {zeros};
    return {mul(zeros, broadcast(kNibbleUnit))};
  }
  static F32 scale(const std::byte* group) { return SymmetricInt4::scale(group); }
  template <int kColumn>
  [[nodiscard]] F32 column(const I32& lanes) const {
    return sub(nibble<kColumn>(lanes), zeros);
  }
};

/// A group of mxfp4.
struct Mxfp4Group {
  static constexpr int kGroupBytes = kMxfp4GroupBytes;
  static Mxfp4Group of(const std::byte*) { return {}; }
  static F32 scale(const std::byte* group) { return load_e8m0(group + kNibbleBytes); }
  template <int kColumn>
  [[nodiscard]] F32 column(const I32& lanes) const {
    return e2m1_at<kNibblePlace<kColumn>>(lanes);
  }
};

template <typename Group, int kRows, int kColumn>
inline void widen_column(GroupSums<kRows>& sums, const Group& group, const I32& lanes, const float* x) {
  const F32 w = group.template column<kColumn>(lanes);
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) {
    F32& to = sums.sum[kColumn % kGroupChains<kRows>][m];
    to = fma(w, broadcast(x[kColumn * kRows + m]), to);
  }
}

/// int4 or mxfp4 with f32 activations (vec 1). Group: SymmetricInt4, ZeroPointInt4 or Mxfp4Group.
template <typename Group, int kRows>
void multiply_nibbles_widened(const TileArgs& args) {
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const float*>(args.a);
    F32 total[kRows];
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) total[m] = zero();
    for (std::int64_t k = 0; k < args.k; k += kGroupColumns, w += Group::kGroupBytes) {
      const Group group = Group::of(w);
      GroupSums<kRows> sums;
      for (int vector = 0; vector < 4; ++vector, x += 8 * kRows) {
        prefetch(w + kPrefetchBytes + vector * 64);
        const I32 lanes = load_i32(w + vector * 64);
        widen_column<Group, kRows, 0>(sums, group, lanes, x);
        widen_column<Group, kRows, 1>(sums, group, lanes, x);
        widen_column<Group, kRows, 2>(sums, group, lanes, x);
        widen_column<Group, kRows, 3>(sums, group, lanes, x);
        widen_column<Group, kRows, 4>(sums, group, lanes, x);
        widen_column<Group, kRows, 5>(sums, group, lanes, x);
        widen_column<Group, kRows, 6>(sums, group, lanes, x);
        widen_column<Group, kRows, 7>(sums, group, lanes, x);
      }
      sums.add_to(total, Group::scale(w));
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) store(args.c + m * args.c_stride + tile * kTileRows, total[m]);
  }
}

inline void multiply_int4(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_nibbles_widened<SymmetricInt4, kRows>(args); });
}

inline void multiply_int4_zero(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_nibbles_widened<ZeroPointInt4, kRows>(args); });
}

inline void multiply_mxfp4(const TileArgs& args) {
  dispatch_rows(args.n_rows, [&args]<int kRows>() { multiply_nibbles_widened<Mxfp4Group, kRows>(args); });
}

}  // namespace secondsource::cpu::SS_CPU_ISA
