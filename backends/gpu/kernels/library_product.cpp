// Epilogue after a product by the vendor's library, for what the library does not apply itself.
//
//   out[m, n] = epilogue(x_scales[m] * row_scales[n] * sums[m, n])
//
// Shapes       sums: [rows, N]; out: [rows, N], or [rows, N/2] for gated epilogues; x_scales: [rows] or null;
//              row_scales: [N], of int8 weights
// Dtypes       sums: f32 or int32; everything else f32
// Accumulator  none
// Aliasing     aux may be out; sums are separate
// Alignment    buffers to 16 bytes
// Source       op.h's Matmul

#include "core/checked.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kThreads = 64;

template <typename Sum>
SS_KERNEL(kThreads)
finish_product_kernel(FinishProductArguments a) {
  wait_for_earlier_kernels();
  const int row = block_x();
  const int n_cols = a.product.weight.n_rows;
  const int col = (block_y() * kThreads + thread_x()) * kMostColumns;
  if (row >= *a.product.n_rows) return;
  const auto* const sums = static_cast<const Sum*>(a.sums) + std::int64_t{row} * n_cols;
  finish_row(a.product, row, col, [&]<int kColumns>(int at) { return load_words<Columns<Sum, kColumns>>(sums + at); });
}

}  // namespace

Result<void> launch_finish_product(const LaunchContext& context, const FinishProductArguments& arguments) {
  const auto blocks = static_cast<std::uint32_t>(ceil_divide(arguments.product.weight.n_rows, kThreads * kMostColumns));
  const LaunchShape shape{.grid = {static_cast<std::uint32_t>(arguments.product.max_rows), blocks},
                          .threads = kThreads};
  const auto kernel = arguments.int32_sums != 0 ? finish_product_kernel<std::int32_t> : finish_product_kernel<float>;
  return launch(context.stream, "finish_product", kernel, shape, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
