#pragma once
// The shapes of AMX's tile registers.

#include <cstdint>

#include "cpu/kernels/target-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// Rows of a tile register, and bytes of each.
inline constexpr int kTileLines = 16;
inline constexpr int kLineBytes = 64;

/// LDTILECFG's operand, palette 1.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {};
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace secondsource::cpu::SS_CPU_ISA
