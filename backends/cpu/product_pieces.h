#pragma once
// How products are cut into pieces: what matmul.cpp and mixture.cpp have in common.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cpu/scratch.h"

namespace secondsource::cpu {

/// Tiles that one call multiplies with one row.
inline constexpr std::int64_t kOneRowTiles = 64;
/// Tiles that the kernels take at once: gate and up are finished together, and several rows want two.
inline constexpr std::int64_t kTilePair = 2;
/// Rows from which on tiles are unpacked first: three blocks of rows share what that costs.
inline constexpr std::int64_t kUnpackFromRows = 25;
/// Many rows in f32 go through the columns in passes: 64 KiB of a tile, 48 KiB of a block of 12 rows.
inline constexpr std::int64_t kPassColumns = 1024;

/// Of `n_units` units, each of `unit_bytes` of weights, what one thread takes from another while they stream: long
/// enough to be a stream for the hardware prefetcher, short enough that the last piece of a thread which is held up
/// delays the others little.
[[nodiscard]] inline std::int64_t piece_units(std::int64_t n_units, std::int64_t unit_bytes, std::int64_t n_threads) {
  constexpr std::int64_t kMinBytes = std::int64_t{64} << 10;
  constexpr std::int64_t kMaxBytes = std::int64_t{256} << 10;
  constexpr std::int64_t kPiecesPerThread = 8;
  const std::int64_t bytes = std::clamp(n_units * unit_bytes / (n_threads * kPiecesPerThread), kMinBytes, kMaxBytes);
  return std::max<std::int64_t>(1, bytes / unit_bytes);
}

/// Of a scale for each of `n_rows` rows of activations, which lie before the packed rows.
[[nodiscard]] inline std::size_t row_scales_bytes(std::int64_t n_rows) {
  return ScratchCutter::size_of_piece<float>(static_cast<std::size_t>(n_rows));
}

}  // namespace secondsource::cpu
