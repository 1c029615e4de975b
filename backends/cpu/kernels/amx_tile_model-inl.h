#pragma once
// A software model of the tile instructions of AMX, with the interface of amx_tiles-inl.h. Tests run the kernels with it on CPUs without
// AMX. It aborts where an instruction would raise an exception. It shows whether the kernels are right if the instructions do what the
// manual says, but nothing about their speed.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/check.h"
#include "cpu/kernels/amx_config-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// The tile state of one thread, as the pseudo-code of the Software Developer's Manual, volume 2, describes it.
struct TileState {
  bool configured = false;
  TileConfig config;
  std::byte tile[8][kTileLines][kLineBytes];
};
inline thread_local TileState tile_state;

struct Tiles {
  static void configure(const TileConfig& config) {
    SS_CHECK(config.palette == 1 && config.start_row == 0, "a palette that LDTILECFG takes");
    for (int tile = 0; tile < 8; ++tile) {
      SS_CHECK(config.rows[tile] <= kTileLines && config.bytes_per_row[tile] <= kLineBytes, "a tile's extents");
      // The instruction raises #GP if only one of the two is zero.
      SS_CHECK((config.rows[tile] == 0) == (config.bytes_per_row[tile] == 0), "a tile with rows has columns");
    }
    tile_state = TileState{.configured = true, .config = config, .tile = {}};
  }
  static void release() { tile_state.configured = false; }
  static void fence_stores() {}
  template <int kTile>
  static void zero() {
    check(kTile);
    std::memset(tile_state.tile[kTile], 0, sizeof(tile_state.tile[kTile]));
  }
  template <int kTile>
  static void load(const void* from, std::int64_t row_bytes = kLineBytes) {
    zero<kTile>();
    for (int row = 0; row < rows(kTile); ++row) {
      const auto* const line = static_cast<const std::byte*>(from) + row * row_bytes;
      std::memcpy(tile_state.tile[kTile][row], line, tile_state.config.bytes_per_row[kTile]);
    }
  }
  /// TILELOADDT1 differs from TILELOADD only in what it leaves in the caches.
  template <int kTile>
  static void stream_load(const void* from, std::int64_t row_bytes) {
    load<kTile>(from, row_bytes);
  }
  template <int kTile>
  static void store(void* to, std::int64_t row_bytes = kLineBytes) {
    check(kTile);
    for (int row = 0; row < rows(kTile); ++row) {
      auto* const line = static_cast<std::byte*>(to) + row * row_bytes;
      std::memcpy(line, tile_state.tile[kTile][row], tile_state.config.bytes_per_row[kTile]);
    }
  }
  /// TDPBF16PS: even and odd elements are summed separately with fused multiply-adds that flush denormals, then added.
  template <int kSum, int kLeft, int kRight>
  static void dot_bf16() {
    check_product(kSum, kLeft, kRight);
    for (int m = 0; m < rows(kSum); ++m) {
      Row<std::uint16_t, kLineBytes / 2> left(kLeft, m);
      float even[kTileLines] = {};
      float odd[kTileLines] = {};
      for (int k = 0; k < rows(kRight); ++k) {
        const float left_even = bf16(left.at[2 * k]);
        const float left_odd = bf16(left.at[2 * k + 1]);
        const Row<std::uint16_t, kLineBytes / 2> right(kRight, k);
        for (int n = 0; n < kTileLines; ++n) {
          even[n] = flushed(std::fma(left_even, bf16(right.at[2 * n]), even[n]));
          odd[n] = flushed(std::fma(left_odd, bf16(right.at[2 * n + 1]), odd[n]));
        }
      }
      Row<float, kTileLines> sum(kSum, m);
      for (int n = 0; n < kTileLines; ++n) sum.at[n] = flushed(flushed(sum.at[n]) + flushed(even[n] + odd[n]));
      sum.write_back(kSum, m);
    }
  }
  /// TDPBUSD: unsigned left, signed right.
  template <int kSum, int kLeft, int kRight>
  static void dot_u8_i8() {
    dot_bytes<std::uint8_t>(kSum, kLeft, kRight);
  }
  /// TDPBSSD: both signed.
  template <int kSum, int kLeft, int kRight>
  static void dot_i8_i8() {
    dot_bytes<std::int8_t>(kSum, kLeft, kRight);
  }

 private:
  /// A copy of one line of a tile. Bytes after the configured ones are zero.
  template <typename T, int kElements>
  struct Row {
    Row(int tile, int row) { std::memcpy(at, tile_state.tile[tile][row], sizeof(at)); }
    void write_back(int tile, int row) const {
      std::memcpy(tile_state.tile[tile][row], at, tile_state.config.bytes_per_row[tile]);
    }
    T at[kElements];
  };
  static int rows(int tile) { return tile_state.config.rows[tile]; }
  /// int32 sums that wrap.
  template <typename Left>
  static void dot_bytes(int sum_tile, int left_tile, int right_tile) {
    check_product(sum_tile, left_tile, right_tile);
    for (int m = 0; m < rows(sum_tile); ++m) {
      Row<std::uint32_t, kTileLines> sum(sum_tile, m);
      const Row<Left, kLineBytes> left(left_tile, m);
      for (int k = 0; k < rows(right_tile); ++k) {
        const Row<std::int8_t, kLineBytes> right(right_tile, k);
        for (int n = 0; n < kTileLines; ++n) {
          for (int i = 0; i < 4; ++i) {
            sum.at[n] += static_cast<std::uint32_t>(int{left.at[4 * k + i]} * int{right.at[4 * n + i]});
          }
        }
      }
      sum.write_back(sum_tile, m);
    }
  }
  static void check(int tile) {
    SS_CHECK(tile_state.configured, "tiles are configured before they are used");
    SS_CHECK(rows(tile) > 0, "a tile that is used has rows");
  }
  static void check_product(int sum, int left, int right) {
    check(sum);
    check(left);
    check(right);
    // The instruction raises #UD otherwise.
    SS_CHECK(rows(sum) == rows(left), "rows of the sum are those of the left operand");
    const auto& bytes = tile_state.config.bytes_per_row;
    SS_CHECK(bytes[sum] == bytes[right], "columns are the right operand's");
    SS_CHECK(bytes[left] == 4 * rows(right), "inner extents agree");
  }
  static float bf16(std::uint16_t bits) {
    return flushed(__builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16));
  }
  static float flushed(float x) { return std::fabs(x) < 0x1p-126F ? 0.0F : x; }
};

}  // namespace secondsource::cpu::SS_CPU_ISA
