#pragma once
// Which element of a tile each lane of a warp holds, per target, as tables taken from the vendors' documents only. Kernels
// have the same as arithmetic (portable/matrix_tile.h); the shim multiplies by these tables, so that an error in one of
// the two gives wrong numbers.

#include <span>

#include "gpu/shim/thread.h"

namespace secondsource::gpu::shim {

/// One coordinate (row, column or k) of the i-th value of a lane: of_lane[lane] + of_value[i].
struct Coordinate {
  std::span<const std::uint8_t> of_lane;
  std::span<const std::uint8_t> of_value;
  [[nodiscard]] int at(int lane, int i) const {
    return of_lane[static_cast<std::size_t>(lane)] + of_value[static_cast<std::size_t>(i)];
  }
};

struct FragmentTable {
  int warp_size = 0;
  int depth = 0;           ///< extent of K: columns of A, rows of B
  int n_inputs = 0;        ///< values of A, and of B, per lane
  int n_accumulators = 0;  ///< values of C per lane
  Coordinate a_row, a_k, b_k, b_col, c_row, c_col;
};

/// For tiles of BF16.
[[nodiscard]] const FragmentTable& fragment_table(TileLayout layout);
/// For tiles of int8.
[[nodiscard]] const FragmentTable& int8_fragment_table(TileLayout layout);

}  // namespace secondsource::gpu::shim
