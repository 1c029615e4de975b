// Epilogue after a product by the vendor's library, for what the library does not apply itself.
//
//   out[m, n] = epilogue(x_scales[m] * row_scales[n] * sums[m, n])
//
// Shapes       sums: [rows, N]; out: [rows, N], or [rows, N/2] for gated epilogues; x_scales: [rows] or null;
//              row_scales: [N], of int8 weights
// Dtypes       sums: f32 or int32; everything else f32
// Accumulator  none
// Aliasing     aux may be out; sums are separate
// Alignment    that of the types
// Source       op.h's Matmul

#include "core/checked.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kThreads = 256;

template <typename Sum>
SS_KERNEL(kThreads)
finish_product_kernel(FinishProductArguments a) {
  const MatmulArguments& product = a.product;
  const int row = block_x();
  if (row >= *product.n_rows) return;
  const bool in_pairs = is_gated_on_device(product.epilogue);
  const int n_outputs = in_pairs ? product.weight.n_rows / 2 : product.weight.n_rows;
  const int output = block_y() * kThreads + thread_x();
  if (output >= n_outputs) return;
  const auto* const sums = static_cast<const Sum*>(a.sums) + std::int64_t{row} * product.weight.n_rows;
  const float x_scale = product.x_scales != nullptr ? product.x_scales[row] : 1.0F;
  const auto sum = [&](int col) {
    float scale = x_scale;
    if (product.weight.encoding == WeightEncoding::kInt8PerRow) scale *= product.weight.row_scales[col];
    return static_cast<float>(sums[col]) * scale;
  };
  if (in_pairs) {
    store_gated(product, row, output, sum(2 * output), sum(2 * output + 1));
  } else {
    store_product(product, row, output, sum(output));
  }
}

}  // namespace

Result<void> launch_finish_product(const LaunchContext& context, const FinishProductArguments& arguments) {
  const auto blocks = static_cast<std::uint32_t>(ceil_divide(arguments.product.weight.n_rows, kThreads));
  const LaunchShape shape{.grid = {static_cast<std::uint32_t>(arguments.product.max_rows), blocks},
                          .threads = kThreads};
  const auto kernel = arguments.int32_sums != 0 ? finish_product_kernel<std::int32_t> : finish_product_kernel<float>;
  return launch(context.stream, "finish_product", kernel, shape, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
