#pragma once
// Matmul of int8, int8-g32 and int4 weights by AMX's int8 instruction, for up to 32 rows, whose products are limited by how fast weights
// are read:
//
//   c[m, n] = sum_k a[m, k] * q[n, k]                                      int8
//   c[m, n] = sum_g scale[n, g] * sum_{k in group g} a[m, k] * q[n, k]     int8-g32, int4: groups of 32 columns
//
// Activations are three int8 digits (activation_digits-inl.h), or one if they are quantized to int8, as they always are for int4. Each row
// takes kDigits lines of a tile, so that 16 rows with three digits fill three tiles. The products of one digit are summed in int32, which
// is exact: over all columns of an int8 weight, of which there are at most 2^17, or over a group of 32 columns. The sums of the digits, and
// those of the groups in the order of k, are added in f32. Packed weights already have the layout of AMX's right-hand operand: 16 lines of
// 64 bytes hold 64 columns of int8, and 8 lines hold a group of int8-g32. In registers, an int4 weight is multiplied by 16, which makes it
// an int8; it is then stored in a buffer that stays in the first-level cache.
//
// With groups, the kernels of avx512_vnni are faster for the fewest rows (isa_amx.cpp).
//
// a: [k / vec][n_rows][kDigits][vec] int8, with vec 64 for int8 and 32 for groups; for int4 the columns have the order of their nibbles.
// The kernel reads up to 64 bytes past the end of a. Tiles of weights are laid out as kernel_table.h says, 64-byte aligned.
// c: [n_rows, 16 * n_tiles] f32. None of these arrays overlaps another.

#include "cpu/kernels/activation_digits-inl.h"
#include "cpu/kernels/matmul_amx-inl.h"
#include "cpu/kernels/matmul_quantized_groups-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Rows of activations multiplied at once: their digits fill three tile registers.
inline constexpr int kDigitRows = 16;
/// The most lines of activations, which fill three tile registers.
inline constexpr int kMostDigitLines = kDigitRows * kActivationDigits;

/// How the lines of n_rows rows are divided among tile registers: n_tiles registers of n_lines each. In the last one, one line may be left
/// over, whose sums are not used.
struct LineTiles {
  int n_tiles = 0;
  int n_lines = 0;
};
template <int kDigits>
inline LineTiles line_tiles(int n_rows) {
  const int n_lines = n_rows * kDigits;
  const int n_tiles = (n_lines + kTileLines - 1) / kTileLines;
  return {n_tiles, (n_lines + n_tiles - 1) / n_tiles};
}

// The tile registers: four for sums, then two for activations and two for weights, which alternate.
enum : int { kFirstSum = 0, kFirstLines = 4, kFirstWeights = 6 };

/// vec_bytes: columns of a step. Weights have vec_bytes / 4 lines.
inline TileConfig digit_config(int n_lines, int vec_bytes) {
  TileConfig config;
  for (int tile = 0; tile < kFirstWeights; ++tile) {
    config.rows[tile] = static_cast<std::uint8_t>(n_lines);
    config.bytes_per_row[tile] = static_cast<std::uint16_t>(tile < kFirstLines ? kLineBytes : vec_bytes);
  }
  for (int tile = kFirstWeights; tile < kFirstWeights + 2; ++tile) {
    config.rows[tile] = static_cast<std::uint8_t>(vec_bytes / 4);
    config.bytes_per_row[tile] = kLineBytes;
  }
  return config;
}

// How far ahead weights are prefetched: near into the first-level cache where little else is done, far into the second-level
// cache otherwise. Measured by one thread of a shared Xeon with AMX that reads memory at 17 to 19 GB/s (November 2026):
//
//   eight rows of int8        12.9 GB/s with 3 KiB near, 14.1 with 16 KiB far
//   four rows of int8-g32     12.4 GB/s with 3 KiB near, 13.3 with 16 KiB far
//   one row of int4           16.1 GB/s with 2 KiB near, 15.0 with 3 KiB, 13.5 with 4 KiB, 12.6 with 6 KiB
inline constexpr std::int64_t kNearPrefetchBytes = 2048;
inline constexpr std::int64_t kFarPrefetchBytes = 16384;

/// The sums of one step of int8: all lines times 64 columns of a weight tile.
template <typename Tiles, int kLineTiles, int kTurn>
inline void add_int8_step(const std::byte* x, std::int64_t line_tile_bytes, const std::byte* w) {
  constexpr int kWeights = kFirstWeights + kTurn;
  Tiles::template load<kWeights>(w);
  Tiles::template load<kFirstLines>(x);
  Tiles::template dot_i8_i8<kFirstSum, kFirstLines, kWeights>();
  if constexpr (kLineTiles > 1) {
    Tiles::template load<kFirstLines + 1>(x + line_tile_bytes);
    Tiles::template dot_i8_i8<kFirstSum + 1, kFirstLines + 1, kWeights>();
  }
  if constexpr (kLineTiles > 2) {
    Tiles::template load<kFirstLines>(x + 2 * line_tile_bytes);
    Tiles::template dot_i8_i8<kFirstSum + 2, kFirstLines, kWeights>();
  }
}

template <typename Tiles, int kLineTiles>
void multiply_int8_digits_of(const TileArgs& args, int n_lines) {
  constexpr std::int64_t kStepBytes = std::int64_t{kTileLines} * kLineBytes;
  const std::int64_t line_tile_bytes = std::int64_t{n_lines} * kLineBytes;
  const std::int64_t row_bytes = std::int64_t{kActivationDigits} * kLineBytes;
  const std::int64_t n_whole = args.tile_bytes / kStepBytes;
  const std::int64_t left = args.tile_bytes - n_whole * kStepBytes;
  alignas(64) std::byte padded[kStepBytes];
  alignas(64) std::byte sums[(kMostDigitLines + kTileLines) * kLineBytes];
  for (std::int64_t tile = 0; tile < args.n_tiles; ++tile) {
    const std::byte* w = args.tiles + tile * args.tile_bytes;
    const auto* x = static_cast<const std::byte*>(args.a);
    Tiles::template zero<kFirstSum>();
    if constexpr (kLineTiles > 1) Tiles::template zero<kFirstSum + 1>();
    if constexpr (kLineTiles > 2) Tiles::template zero<kFirstSum + 2>();
    for (std::int64_t step = 0; step < n_whole; ++step, w += kStepBytes, x += args.n_rows * row_bytes) {
#pragma GCC unroll 16
      for (int line = 0; line < kTileLines; ++line) {
        if constexpr (kLineTiles == 1) {
          prefetch(w + kNearPrefetchBytes + line * kLineBytes);
        } else {
          prefetch_far(w + kFarPrefetchBytes + line * kLineBytes);
        }
      }
      add_int8_step<Tiles, kLineTiles, 0>(x, line_tile_bytes, w);
    }
    if (left > 0) {
      // The tile is followed by another one or by nothing, so its last columns are copied and padded with zeros.
      __builtin_memset(padded, 0, sizeof(padded));
      __builtin_memcpy(padded, w, static_cast<std::size_t>(left));
      add_int8_step<Tiles, kLineTiles, 1>(x, line_tile_bytes, padded);
    }
    Tiles::template store<kFirstSum>(sums);
    if constexpr (kLineTiles > 1) Tiles::template store<kFirstSum + 1>(sums + line_tile_bytes);
    if constexpr (kLineTiles > 2) Tiles::template store<kFirstSum + 2>(sums + 2 * line_tile_bytes);
    for (int m = 0; m < args.n_rows; ++m) {
      F32 total = zero();
#pragma GCC unroll 3
      for (int digit = 0; digit < kActivationDigits; ++digit) {
        total = fma(to_f32(load_i32(sums + m * row_bytes + digit * kLineBytes)), broadcast(kDigitUnits[digit]), total);
      }
      store(args.c + m * args.c_stride + tile * kTileRows, total);
    }
  }
}

template <typename Tiles>
void multiply_int8_digits(const TileArgs& args) {
  const LineTiles lines = line_tiles<kActivationDigits>(args.n_rows);
  const TileConfig config = digit_config(lines.n_lines, kLineBytes);
  Tiles::configure(config);
  if (lines.n_tiles == 1) multiply_int8_digits_of<Tiles, 1>(args, lines.n_lines);
  if (lines.n_tiles == 2) multiply_int8_digits_of<Tiles, 2>(args, lines.n_lines);
  if (lines.n_tiles == 3) multiply_int8_digits_of<Tiles, 3>(args, lines.n_lines);
  Tiles::release();
}

/// Groups that are multiplied one after the other before any of their sums is read, so that nothing waits for a store.
inline constexpr int kChunkGroups = 4;

/// How the sums of a group are made of int8 digits: a row has kDigits lines of 32 columns each in a tile.
template <typename Groups, int kDigitsOfRow>
struct DigitProducts {
  static constexpr int kLines = kDigitsOfRow;
  static constexpr int kLineColumnBytes = kGroupColumns;
  static constexpr int kRowBytes = kDigitsOfRow * kGroupColumns;
  /// Whether the right-hand operand is copied, to turn nibbles into bytes; that of int8-g32 is read in place.
  static constexpr bool kCopies = Groups::kQuads > 1;
  static constexpr std::int64_t kOperandBytes = std::int64_t{kTileRows} * kGroupColumns;
  static void make_operand(const std::byte* group, std::byte* to) {
#pragma GCC unroll 8
    for (int vector = 0; vector < Groups::kVectors; ++vector) {
      I32 quads[Groups::kQuads];
      Groups::load_quads(group + vector * kLineBytes, quads);
#pragma GCC unroll 2
      for (int quad = 0; quad < Groups::kQuads; ++quad, to += kLineBytes) store_i32(to, quads[quad]);
    }
  }
  template <typename Tiles, int kSum>
  static void multiply(const std::byte* x, const std::byte* operand) {
    constexpr int kLeftTile = kFirstLines + kSum % 2;
    constexpr int kRightTile = kFirstWeights + kSum % 2;
    Tiles::template zero<kSum>();
    Tiles::template load<kRightTile>(operand);
    Tiles::template load<kLeftTile>(x, kLineColumnBytes);
    Tiles::template dot_i8_i8<kSum, kLeftTile, kRightTile>();
  }
  static F32 load_sum(const std::byte* p) {
    return to_f32(load_i32(p));
  }
  /// The scales by which sums are multiplied.
  static F32 load_scale(const std::byte* p) {
    return Groups::load_scale(p);
  }
};

/// Multiplies rows with tiles whose columns have scales in groups; holds the buffers of one call. Products: a struct like DigitProducts.
template <typename Tiles, typename Groups, typename Products>
class GroupedTiles {
 public:
  explicit GroupedTiles(const TileArgs& args)
      : args_(args),
        lines_(line_tiles<kDigits>(args.n_rows)),
        sum_bytes_(std::int64_t{lines_.n_tiles} * lines_.n_lines * kLineBytes) {}

  void multiply() {
    const std::int64_t n_groups = args_.k / kGroupColumns;
    const std::int64_t n_chunks = (n_groups + kChunkGroups - 1) / kChunkGroups;
    for (std::int64_t tile = 0; tile < args_.n_tiles; ++tile) {
      const std::byte* const w = args_.tiles + tile * args_.tile_bytes;
      for (int m = 0; m < args_.n_rows; ++m) store(totals_ + m * kTileRows, zero());
      // Three chunks are under way: the operands of one are made, the one before is multiplied, and the sums of the one before that are
      // added. The products take as long as the additions, so their sums are stored after the additions.
      for (std::int64_t chunk = 0; chunk < n_chunks + 2; ++chunk) {
        if (chunk >= 1 && chunk <= n_chunks) multiply_chunk(w, chunk - 1, n_groups);
        if (chunk < n_chunks) prepare(w, chunk, n_groups);
        if (chunk >= 2) add_chunk(w, chunk - 2, n_groups);
        if (chunk >= 1 && chunk <= n_chunks) store_chunk(chunk - 1, n_groups, lines_.n_tiles - 1);
      }
      for (int m = 0; m < args_.n_rows; ++m) {
        store(args_.c + m * args_.c_stride + tile * kTileRows, load(totals_ + m * kTileRows));
      }
    }
  }

 private:
  static constexpr int kDigits = Products::kLines;
  static int groups_of(std::int64_t chunk, std::int64_t n_groups) {
    const std::int64_t left = n_groups - chunk * kChunkGroups;
    return static_cast<int>(left < kChunkGroups ? left : kChunkGroups);
  }
  void prepare(const std::byte* w, std::int64_t chunk, std::int64_t n_groups) {
    const std::byte* const first = w + chunk * kChunkGroups * Groups::kBytes;
#pragma GCC unroll 40
    for (int at = 0; at < kChunkGroups * Groups::kBytes; at += kLineBytes) prefetch_far(first + kFarPrefetchBytes + at);
    if constexpr (Products::kCopies) {
      const int n = groups_of(chunk, n_groups);
      for (int group = 0; group < n; ++group) {
        Products::make_operand(first + group * Groups::kBytes, operands_[chunk % 2] + group * Products::kOperandBytes);
      }
    }
  }
  template <int kGroup>
  void multiply_group(const std::byte* groups, std::int64_t chunk, int line_tile) {
    const std::byte* const operand =
        Products::kCopies ? operands_[chunk % 2] + kGroup * Products::kOperandBytes : groups + kGroup * Groups::kBytes;
    const auto* const x = static_cast<const std::byte*>(args_.a) + (chunk * kChunkGroups + kGroup) * step_bytes();
    const std::int64_t first_line = std::int64_t{line_tile} * lines_.n_lines;
    Products::template multiply<Tiles, kGroup>(x + first_line * Products::kLineColumnBytes, operand);
  }
  /// Multiplies one register of lines after the other. The sums of the last one stay in registers.
  void multiply_chunk(const std::byte* w, std::int64_t chunk, std::int64_t n_groups) {
    const std::byte* const groups = w + chunk * kChunkGroups * Groups::kBytes;
    const int n = groups_of(chunk, n_groups);
    for (int line_tile = 0; line_tile < lines_.n_tiles; ++line_tile) {
      multiply_group<0>(groups, chunk, line_tile);
      if (n > 1) multiply_group<1>(groups, chunk, line_tile);
      if (n > 2) multiply_group<2>(groups, chunk, line_tile);
      if (n > 3) multiply_group<3>(groups, chunk, line_tile);
      if (line_tile + 1 < lines_.n_tiles) store_chunk(chunk, n_groups, line_tile);
    }
  }
  void store_chunk(std::int64_t chunk, std::int64_t n_groups, int line_tile) {
    const std::int64_t at = std::int64_t{line_tile} * lines_.n_lines * kLineBytes;
    const int n = groups_of(chunk, n_groups);
    Tiles::template store<0>(sums_of(chunk, 0) + at);
    if (n > 1) Tiles::template store<1>(sums_of(chunk, 1) + at);
    if (n > 2) Tiles::template store<2>(sums_of(chunk, 2) + at);
    if (n > 3) Tiles::template store<3>(sums_of(chunk, 3) + at);
  }
  void add_chunk(const std::byte* w, std::int64_t chunk, std::int64_t n_groups) {
    const int n = groups_of(chunk, n_groups);
    const std::byte* const scales = w + chunk * kChunkGroups * Groups::kBytes + kLineBytes * Groups::kVectors;
    if (n == kChunkGroups) {
      add_groups<kChunkGroups>(scales, sums_of(chunk, 0));
    } else {
      for (int group = 0; group < n; ++group) add_groups<1>(scales + group * Groups::kBytes, sums_of(chunk, group));
    }
  }
  /// Adds the scaled sums of kGroups groups to the totals.
  template <int kGroups>
  void add_groups(const std::byte* scales, const std::byte* sums) {
    F32 scale[kGroups];
#pragma GCC unroll 4
    for (int group = 0; group < kGroups; ++group) scale[group] = Products::load_scale(scales + group * Groups::kBytes);
    for (int m = 0; m < args_.n_rows; ++m) {
      const std::byte* const of_row = sums + m * kDigits * kLineBytes;
      F32 total = load(totals_ + m * kTileRows);
#pragma GCC unroll 3
      for (int digit = kDigits - 1; digit >= 0; --digit) {
        F32 sum = digit == 0 ? total : zero();
#pragma GCC unroll 4
        for (int group = 0; group < kGroups; ++group) {
          sum = fma(Products::load_sum(of_row + group * sum_bytes_ + digit * kLineBytes), scale[group], sum);
        }
        total = digit == 0 ? sum : fma(sum, broadcast(kDigitUnits[digit]), total);
      }
      store(totals_ + m * kTileRows, total);
    }
  }
  /// The sums of a group, [line][16]. There is no space between groups, so that their lines do not fall into few sets of the cache.
  [[nodiscard]] std::byte* sums_of(std::int64_t chunk, int group) {
    return sums_ + (chunk % 2 * kChunkGroups + group) * sum_bytes_;
  }
  /// Bytes of the activations of a group.
  [[nodiscard]] std::int64_t step_bytes() const {
    return std::int64_t{args_.n_rows} * Products::kRowBytes;
  }

  const TileArgs& args_;
  const LineTiles lines_;
  const std::int64_t sum_bytes_;  ///< of the sums of a group
  alignas(64) float totals_[kAmxRows * kTileRows];
  alignas(64) std::byte operands_[2][Products::kCopies ? kChunkGroups * Products::kOperandBytes : 1];
  alignas(64) std::byte sums_[2 * kChunkGroups * kMostDigitLines * kLineBytes];
};

/// kDigits: kActivationDigits, or 1 for activations that are quantized to int8.
template <typename Tiles, typename Groups, int kDigits>
void multiply_digit_groups(const TileArgs& args) {
  const TileConfig config = digit_config(line_tiles<kDigits>(args.n_rows).n_lines, kGroupColumns);
  Tiles::configure(config);
  GroupedTiles<Tiles, Groups, DigitProducts<Groups, kDigits>>(args).multiply();
  Tiles::release();
}

}  // namespace secondsource::cpu::SS_CPU_ISA
