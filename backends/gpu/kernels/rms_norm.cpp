// RMSNorm (arXiv:1910.07467, eq. 4) or LayerNorm (arXiv:1607.06450), with an optional add before it or after it in the same
// pass.
//
//   sum = x + add,   c = sum - mean_i(sum[t, i]) for a LayerNorm, else sum
//   out[t, i] = residual[t, i] + c[t, i] * weight[i] / sqrt(mean_i(c[t, i]^2) + eps) + bias[i]
//
// Shapes       x, add, sum_out, residual, out: [n_rows, n_cols]; weight, bias: [n_cols]
// Dtypes       f32
// Accumulator  f32, one partial sum per thread, then reduced over the block
// Aliasing     sum_out may be x, and out residual; each element is read and written by the same thread
// Alignment    that of f32
// Source       the equation; one block per row

#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/warp.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kThreads = 256;

SS_KERNEL(kThreads) rms_norm_kernel(RmsNormArguments a) {
  wait_for_earlier_kernels();
  const int row = block_x();
  if (row >= *a.n_rows) return;
  auto& scratch = shared_memory<BlockScratch<float>>();
  const std::int64_t begin = std::int64_t{row} * a.n_cols;
  const auto summed = [&](int i) { return a.add == nullptr ? a.x[begin + i] : a.x[begin + i] + a.add[begin + i]; };
  float mean = 0.0F;
  if (a.centers != 0) {
    float total = 0.0F;
    for (int i = thread_x(); i < a.n_cols; i += kThreads) total += summed(i);
    mean = sum_block(total, scratch) / static_cast<float>(a.n_cols);
  }
  float squares = 0.0F;
  for (int i = thread_x(); i < a.n_cols; i += kThreads) {
    const float value = summed(i) - mean;
    squares += value * value;
  }
  squares = sum_block(squares, scratch);
  const float factor = 1.0F / sqrtf(squares / static_cast<float>(a.n_cols) + a.eps);
  for (int i = thread_x(); i < a.n_cols; i += kThreads) {
    const float value = summed(i);
    if (a.sum_out != nullptr) a.sum_out[begin + i] = value;
    const float normed = (value - mean) * factor * a.weight[i] + (a.bias == nullptr ? 0.0F : a.bias[i]);
    a.out[begin + i] = a.residual == nullptr ? normed : a.residual[begin + i] + normed;
  }
}

}  // namespace

Result<void> launch_rms_norm(const LaunchContext& context, const RmsNormArguments& arguments) {
  return launch(context.stream, "rms_norm", rms_norm_kernel,
                {.grid = {static_cast<std::uint32_t>(arguments.max_rows)},
                 .threads = kThreads,
                 .shared_bytes = sizeof(BlockScratch<float>)},
                arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
