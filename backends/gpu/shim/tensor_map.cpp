#include "gpu/shim/tensor_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace secondsource::gpu::shim {
namespace {

/// The first word of every map that encode() makes.
constexpr std::uint64_t kMark = 0x70705e7c70705e7cU;
constexpr std::int64_t kVecBytes = 16;

}  // namespace

Result<TensorMap> encode(const TiledMatrix& matrix) {
  const auto refused = [](std::string_view what, std::int64_t value) {
    return Error{ErrorCode::kInternal, fmt::format("shim: a map of tiles with {} {}", what, value)};
  };
  const auto address = reinterpret_cast<std::uintptr_t>(matrix.values);
  if (address == 0 || address % kVecBytes != 0) return refused("values at", static_cast<std::int64_t>(address));
  if (matrix.value_bytes != 1 && matrix.value_bytes != 2) return refused("values of bytes", matrix.value_bytes);
  if (matrix.n_rows < 1) return refused("rows", matrix.n_rows);
  if (matrix.n_cols < 1) return refused("columns", matrix.n_cols);
  if (matrix.row_bytes % kVecBytes != 0 || matrix.row_bytes < std::int64_t{matrix.n_cols} * matrix.value_bytes) {
    return refused("rows of bytes", matrix.row_bytes);
  }
  if (matrix.tile_rows < 1 || matrix.tile_rows > kMostTensorRows) return refused("tiles of rows", matrix.tile_rows);
  TensorMap map;
  map.word[0] = kMark;
  map.word[1] = address;
  map.word[2] = static_cast<std::uint64_t>(matrix.value_bytes);
  map.word[3] = static_cast<std::uint64_t>(matrix.n_rows);
  map.word[4] = static_cast<std::uint64_t>(matrix.n_cols);
  map.word[5] = static_cast<std::uint64_t>(matrix.row_bytes);
  map.word[6] = static_cast<std::uint64_t>(matrix.tile_rows);
  return map;
}

std::optional<TiledMatrix> decode(const TensorMap& map) {
  if (map.word[0] != kMark) return std::nullopt;
  return TiledMatrix{.values = reinterpret_cast<const void*>(static_cast<std::uintptr_t>(map.word[1])),
                     .value_bytes = static_cast<std::int32_t>(map.word[2]),
                     .n_rows = static_cast<std::int32_t>(map.word[3]),
                     .n_cols = static_cast<std::int32_t>(map.word[4]),
                     .row_bytes = static_cast<std::int64_t>(map.word[5]),
                     .tile_rows = static_cast<std::int32_t>(map.word[6])};
}

void copy_tile(const TiledMatrix& matrix, int col, int row, std::byte* tile) {
  const auto* const values = static_cast<const std::byte*>(matrix.values);
  const std::int64_t n_bytes = std::int64_t{matrix.n_cols} * matrix.value_bytes;
  for (std::int64_t line = 0; line < matrix.tile_rows; ++line) {
    for (std::int64_t vec = 0; vec < kTensorLineBytes / kVecBytes; ++vec) {
      std::byte* const to = tile + line * kTensorLineBytes + (vec ^ line % 8) * kVecBytes;
      std::memset(to, 0, kVecBytes);
      const std::int64_t from_row = row + line;
      const std::int64_t begin = std::int64_t{col} * matrix.value_bytes + vec * kVecBytes;
      if (from_row < 0 || from_row >= matrix.n_rows) continue;
      const std::int64_t first = std::max<std::int64_t>(begin, 0);
      const std::int64_t end = std::min(begin + kVecBytes, n_bytes);
      if (first >= end) continue;
      std::memcpy(to + (first - begin), values + from_row * matrix.row_bytes + first,
                  static_cast<std::size_t>(end - first));
    }
  }
}

}  // namespace secondsource::gpu::shim
