#pragma once
// Packs the rows of a weight, as they were read, into a tile: the inner loop of loading a model.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/weights.h"
#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

/// A tile is packed k_multiple columns at a time, which take bytes_per_multiple bytes for its 16 rows.
struct TileLayout {
  std::int64_t k_multiple = 1;
  std::int64_t bytes_per_multiple = 64;
};
[[nodiscard]] TileLayout tile_layout(WeightEncoding encoding);

/// Packs one tile after the other on one thread. Layouts: packed_weight.h.
class TilePacker {
 public:
  TilePacker(WeightEncoding encoding, std::int64_t n_cols);

  /// Where to put the first `n_rows` (<= 16) rows of the next tile, as WeightSource::read_rows delivers them.
  [[nodiscard]] std::span<std::byte> values(std::int64_t n_rows);
  [[nodiscard]] std::span<float> scales(std::int64_t n_rows);

  /// Writes the whole tile: `n_rows` rows, zeros for the others.
  void pack(std::int64_t n_rows, std::byte* tile);

  /// The sum of the values of row `row` of the tile that was packed last; int8 only.
  [[nodiscard]] std::int32_t row_sum(std::int64_t row) const;

 private:
  void pack_groups(const std::byte* rows, std::size_t stride, std::byte* tile) const;
  void pack_fp8_groups(const std::byte* rows, std::size_t stride, std::byte* tile) const;
  void pack_nvfp4(const std::byte* rows, std::size_t stride, std::byte* tile) const;
  /// Fills the columns that a row's last group lacks with its zero point, the code that stands for 0.
  void pad_with_zero_points();

  WeightEncoding encoding_;
  std::int64_t n_cols_;
  std::size_t row_bytes_;
  std::size_t padded_row_bytes_;  ///< whole cache lines, so that blocks of words need no bounds checks
  std::size_t row_scales_;
  std::int64_t n_words_;  ///< 32-bit words of one row in the tile
  std::vector<std::byte> values_;
  std::vector<std::byte> padded_;
  std::vector<float> scales_;
};

}  // namespace secondsource::cpu
