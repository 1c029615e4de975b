#pragma once
// Finishes a tile of warpgroups in passes of a few columns each, through a small part of shared memory, so that the stages are free for
// the next tile meanwhile.

#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/matmul_tile.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// The columns of a pass. To finish all columns at once would take shared memory from the stages.
inline constexpr int kPassCols = 64;
/// A warp's sums of one pass, as WarpSums takes them.
template <typename Shape>
struct PassShape {
  static constexpr int kWarpRows = Shape::kWarpRows;
  static constexpr int kWarpCols = kPassCols;
};
/// Where a block's warps have their sums of one pass.
template <typename Shape>
struct PassSums {
  alignas(sizeof(Chunk)) std::int32_t of_warp[Shape::kWarps][Shape::kWarpRows * kPassCols];
};

/// Puts a warp's sums of a pass, which are in registers, into its place in shared memory.
template <typename Shape, typename Input, int kColTiles>
SS_DEVICE void store_pass(const Accumulator<Input> (&sums)[1][kColTiles], int pass, std::int32_t* own) {
  constexpr int kPassTiles = kPassCols / kTile;
  using OfPass = Accumulator<Input>[1][kPassTiles];
  SS_UNROLL
  for (int p = 0; p < kColTiles / kPassTiles; ++p) {  // registers cannot be indexed at run time
    if (p == pass) store_sums<PassShape<Shape>>(reinterpret_cast<const OfPass&>(sums[0][p * kPassTiles]), own);
  }
}

/// Calls use(WarpSums) for a warp's sums of one pass after the other, which take(pass) puts into its place in shared memory. `first_col`:
/// the tile's first row of the weight, which has n_cols rows.
template <typename Shape, typename Sum, typename Take, typename Use>
SS_DEVICE void for_each_pass(const std::int32_t* own, int first_col, int n_cols, const Take& take, const Use& use) {
  for (int pass = 0; pass < Shape::kWarpCols / kPassCols; ++pass) {
    take(pass);
    sync_warp();  // this warp's sums are stored
    use(WarpSums<PassShape<Shape>, Sum>{.place = own,
                                        .first_line = warp() * Shape::kWarpRows,
                                        .first_col = first_col + pass * kPassCols,
                                        .n_cols = n_cols});
    sync_warp();  // all lanes have read this pass's sums
  }
}

/// Finishes a warp's sums, which take(pass) puts into its place in shared memory, and stores the results. The tile begins with row
/// first_row of x, which has n_rows rows.
template <typename Shape, bool kQuantized, typename Take>
SS_DEVICE void finish_passes(const MatmulArguments& a, const std::int32_t* own, int first_row, int n_rows,
                             int first_col, const Take& take) {
  using Sum = std::conditional_t<kQuantized, std::int32_t, float>;
  const auto row_of = [&](int line) {
    const bool exists = first_row + line < n_rows;
    const int row = exists ? first_row + line : n_rows - 1;
    return ResultRow{.index = row, .of_x = row, .exists = exists};
  };
  for_each_pass<Shape, Sum>(own, first_col, a.weight.n_rows, take, [&](const auto& sums) {
    // The sums of later passes leave no registers to keep this from one pass to the next.
    const ProductOutputs outputs = outputs_of(a);
    with_epilogue<false>(outputs, [&]<EpilogueKind kKind, int kColumns>() {
      sums.template finish_columns<kColumns>(
          [&](int col) { return ColumnsEpilogue<kKind, kColumns, kQuantized>(outputs, col); }, row_of);
    });
  });
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
