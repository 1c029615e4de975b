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

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

/// Applies scales and epilogue to a complete sum and stores it; for a gated epilogue sums[0] is gate and sums[1] is up.
template <bool kQuantized, typename Sum>
SS_DEVICE void store_sums(const MatmulArguments& a, int row, int output, const Sum* sums) {
  const auto scaled = [&](int j) {
    // Scales of wide groups are in the sums.
    const bool is_scaled = kQuantized || (a.x_scales != nullptr && a.weight.encoding != WeightEncoding::kFp8Group128);
    float scale = is_scaled ? a.x_scales[row] : 1.0F;
    if (has_row_scales(a.weight.encoding)) scale *= a.weight.row_scales[output + j];
    return static_cast<float>(sums[j]) * scale;
  };
  if (is_gated_on_device(a.epilogue)) {
    store_gated(a, row, output / 2, scaled(0), scaled(1));
  } else {
    store_product(a, row, output, scaled(0));
  }
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
SS_KERNEL(ShapeOf<kTiles>::kWarps* kWarpSize)
tiled_matmul_kernel(MatmulArguments a) {
  using Shape = ShapeOf<kTiles>;
  // Empty for wgmma tiles on targets without wgmma, where the host never launches them.
  if constexpr (kHasWarpgroups || !Shape::kByWarpgroups) {
    // block_x() runs along the rows of x, so blocks that share rows of the weight run together and hit the cache.
    const int n_rows = *a.n_rows;
    const int first_row = block_x() * Shape::kRows;
    if (first_row >= n_rows) return;
    const int begin = block_z() * a.plan.split_steps;
    const int n_steps = steps_of<Shape, kQuantized>(a.weight);
    const int end = begin + a.plan.split_steps < n_steps ? begin + a.plan.split_steps : n_steps;
    const void* const x = kQuantized ? static_cast<const void*>(a.quantized_x) : a.narrow_x;
    compute_tile<kTiles, kEncoding, kQuantized>(
        x, a.x_scales, ContiguousRows{first_row, n_rows}, a.weight, block_y() * Shape::kCols, {begin, end},
        a.plan.n_splits == 1 && is_gated_on_device(a.epilogue), [&](int line, int output, const auto* sums) {
          const int row = first_row + line;
          if (row >= n_rows) return;
          if (a.plan.n_splits > 1) {
            a.partial[(std::int64_t{block_z()} * a.max_rows + row) * a.weight.n_rows + output] =
                bits_as<std::int32_t>(sums[0]);
          } else {
            store_sums<kQuantized>(a, row, output, sums);
          }
        });
  }
}

constexpr int kCombineThreads = 256;

/// Adds the partial sums of the blocks that share K, always in the same order.
template <typename Sum, bool kQuantized>
SS_KERNEL(kCombineThreads)
combine_matmul_kernel(MatmulArguments a) {
  const int row = block_y();
  const int width = is_gated_on_device(a.epilogue) ? 2 : 1;
  const int output = (block_x() * kCombineThreads + thread_x()) * width;
  if (row >= *a.n_rows || output >= a.weight.n_rows) return;
  Sum sums[2] = {};
  for (int split = 0; split < a.plan.n_splits; ++split) {
    const std::int32_t* const from = a.partial + (std::int64_t{split} * a.max_rows + row) * a.weight.n_rows + output;
    sums[0] += bits_as<Sum>(from[0]);
    if (width == 2) sums[1] += bits_as<Sum>(from[1]);
  }
  store_sums<kQuantized>(a, row, output, sums);
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
Result<void> launch_for(const LaunchContext& context, const MatmulArguments& arguments) {
  using Shape = ShapeOf<kTiles>;
  const auto blocks = [](std::int32_t n, int of) { return static_cast<std::uint32_t>(ceil_divide(n, of)); };
  SS_TRY_VOID(launch(context.stream, "tiled_matmul", tiled_matmul_kernel<kTiles, kEncoding, kQuantized>,
                     {.grid = {blocks(arguments.max_rows, Shape::kRows), blocks(arguments.weight.n_rows, Shape::kCols),
                               static_cast<std::uint32_t>(arguments.plan.n_splits)},
                      .threads = static_cast<std::uint32_t>(Shape::kWarps * context.warp_size),
                      .shared_bytes = sizeof(TileShared<Shape, StageOf<Shape, kEncoding, kQuantized>>)},
                     arguments));
  if (arguments.plan.n_splits == 1) return {};
  const bool in_pairs = is_gated(arguments.epilogue);
  const std::int32_t n_values = in_pairs ? arguments.weight.n_rows / 2 : arguments.weight.n_rows;
  using Sum = std::conditional_t<kQuantized, QuantizedSum<kEncoding>, float>;
  return launch(context.stream, "combine_matmul", combine_matmul_kernel<Sum, kQuantized>,
                {.grid = {blocks(n_values, kCombineThreads), static_cast<std::uint32_t>(arguments.max_rows)},
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
  return arguments.max_rows <= kMatvecRows ? launch_matvec(context, arguments)
                                           : launch_tiled_matmul(context, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
