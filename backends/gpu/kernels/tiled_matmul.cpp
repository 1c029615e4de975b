// Matrix product for many rows of x, as prefill has them, on the matrix cores (matmul_tile.h).
//
//   out[m, n] = epilogue(sum_k x[m, k] * weight[n, k])
//
// Shapes       x: [rows, padded K]; weight: [N, padded K]; out: [rows, N], or [rows, N/2] for gated epilogues;
//              partial: [n_splits, max_rows, N], for split K
// Dtypes       x: BF16, or with one f32 scale per row int8, or with one per row or group E4M3 as BF16; weight: any encoding, multiplied as
//              BF16, or as int8; out: f32
// Accumulator  f32; int8 by int8 in int32, per row or, with group scales, per group and then f32
// Aliasing     aux may be out
// Alignment    rows of x and of the weight to 16 bytes
// Source       own; where the tiles are too few for the device, blocks share K (split K)

#include "core/checked.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/matmul_tile.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
SS_KERNEL_RESIDENT(ShapeOf<kTiles>::kWarps, kResidentTiles<kTiles>)
tiled_matmul_kernel(MatmulArguments a) {
  wait_for_earlier_kernels();
  using Shape = ShapeFor<kTiles, kEncoding, kQuantized>;
  // Empty for wgmma tiles on targets without wgmma, where the host never launches them.
  if constexpr (kHasWarpgroups || !Shape::kByWarpgroups) {
    // block_x() runs along the rows of x, so blocks that share rows of the weight run together and hit the cache.
    const int n_rows = *a.n_rows;
    const int first_row = block_x() * Shape::kRows;
    if (first_row >= n_rows) return;
    const int split_steps = (a.plan.split_steps + Shape::kPlanSteps - 1) / Shape::kPlanSteps;
    const int begin = block_z() * split_steps;
    const int n_steps = steps_of<Shape, kQuantized>(a.weight);
    const int end = begin + split_steps < n_steps ? begin + split_steps : n_steps;
    const void* const x = kQuantized ? static_cast<const void*>(a.quantized_x) : a.narrow_x;
    compute_tile<kTiles, kEncoding, kQuantized>(
        x, a.x_scales, ContiguousRows{first_row, n_rows}, a.weight, block_y() * Shape::kCols, {begin, end},
        [&](const auto& sums) {
          const auto row_of = [&](int line) {
            const bool exists = first_row + line < n_rows;
            const int row = exists ? first_row + line : n_rows - 1;
            return ResultRow{.index = row, .of_x = row, .exists = exists};
          };
          if (a.plan.n_splits > 1) {
            std::int32_t* const to = a.partial + std::int64_t{block_z()} * a.max_rows * a.weight.n_rows;
            const std::uint32_t row_bytes = 4U * static_cast<std::uint32_t>(a.weight.n_rows);
            const auto store = [&]<int kColumns>() {
              sums.template finish_columns<kColumns>(
                  [&](int col) {
                    return PlainSums<std::int32_t, kColumns>{to + col, row_bytes};
                  },
                  row_of);
            };
            if (a.weight.n_rows % kMostColumns == 0) {
              store.template operator()<kMostColumns>();
            } else {
              store.template operator()<1>();
            }
            return;
          }
          constexpr bool kScaled = kQuantized || kHasRowScales<kEncoding>;
          const ProductOutputs outputs = outputs_of(a);
          with_epilogue<false>(outputs, [&]<EpilogueKind kKind, int kColumns>() {
            sums.template finish_columns<kColumns>(
                [&](int col) { return ColumnsEpilogue<kKind, kColumns, kScaled>(outputs, col); }, row_of);
          });
        });
  }
}

constexpr int kCombineThreads = 64;

/// Adds the partial sums of the blocks that share K, always in the same order.
template <typename Sum>
SS_KERNEL(kCombineThreads)
combine_matmul_kernel(MatmulArguments a) {
  wait_for_earlier_kernels();
  const int row = block_y();
  const int n_cols = a.weight.n_rows;
  const int col = (block_x() * kCombineThreads + thread_x()) * kMostColumns;
  if (row >= *a.n_rows) return;
  finish_row(a, row, col, [&]<int kColumns>(int at) {
    Columns<Sum, kColumns> sums = {};
    const std::int32_t* from = a.partial + std::int64_t{row} * n_cols + at;
    for (int split = 0; split < a.plan.n_splits; ++split) {
      const auto partial = load_words<Columns<Sum, kColumns>>(from);
      SS_UNROLL
      for (int j = 0; j < kColumns; ++j) sums.value[j] += partial.value[j];
      from += std::int64_t{a.max_rows} * n_cols;
    }
    return sums;
  });
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
Result<void> launch_for(const LaunchContext& context, const MatmulArguments& arguments) {
  using Shape = ShapeFor<kTiles, kEncoding, kQuantized>;
  const auto blocks = [](std::int32_t n, int of) { return static_cast<std::uint32_t>(ceil_divide(n, of)); };
  SS_TRY_VOID(launch(context.stream, "tiled_matmul", tiled_matmul_kernel<kTiles, kEncoding, kQuantized>,
                     {.grid = {blocks(arguments.max_rows, Shape::kRows), blocks(arguments.weight.n_rows, Shape::kCols),
                               static_cast<std::uint32_t>(arguments.plan.n_splits)},
                      .threads = static_cast<std::uint32_t>(Shape::kWarps * context.warp_size),
                      .shared_bytes = sizeof(TileShared<Shape, StageOf<Shape, kEncoding, kQuantized>>)},
                     arguments));
  if (arguments.plan.n_splits == 1) return {};
  using Sum = std::conditional_t<kQuantized, QuantizedSum<kEncoding>, float>;
  return launch(context.stream, "combine_matmul", combine_matmul_kernel<Sum>,
                {.grid = {blocks(arguments.weight.n_rows, kCombineThreads * kMostColumns),
                          static_cast<std::uint32_t>(arguments.max_rows)},
                 .threads = kCombineThreads},
                arguments);
}

}  // namespace

Result<void> launch_tiled_matmul(const LaunchContext& context, const MatmulArguments& arguments) {
  return with_tile_kernel(arguments.plan.tiles, arguments.weight.encoding, arguments.quantized_x != nullptr,
                          [&]<MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>() {
                            return launch_for<kTiles, kEncoding, kQuantized>(context, arguments);
                          });
}

Result<void> launch_matmul(const LaunchContext& context, const MatmulArguments& arguments) {
  if (arguments.max_rows <= kMatvecRows) return launch_matvec(context, arguments);
  return arguments.plan.tiles == MatmulTiles::kStreamK128x256 ? launch_stream_k_matmul(context, arguments)
                                                              : launch_tiled_matmul(context, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
