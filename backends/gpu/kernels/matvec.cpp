// Matrix product for few rows of x, as decode has them: bound by reading the weight once.
//
//   out[m, n] = epilogue(sum_k x[m, k] * weight[n, k])
//
// Shapes       x: [rows, K]; weight: [N, K]; out: [rows, N], or [rows, N/2] for gated epilogues; rows <= kMatvecRows
// Dtypes       x: f32, or int8 with one f32 scale per row; weight: any encoding; out: f32
// Accumulator  f32; int8 by int8 in int32, per row or, with group scales, per 16 columns and then f32
// Aliasing     aux may be out
// Alignment    weight rows and int8 x to 16 bytes; f32 x is read 16 bytes at a time where K is a multiple of 4
// Source       dot_product.h
//
// A warp computes two neighbouring rows of the weight, so the gate and up values of a gated epilogue meet in one lane.

#include <algorithm>

#include "core/checked.h"
#include "gpu/kernels/dot_product.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kWarps = 4;
constexpr int kOutputs = 2;  ///< rows of the weight per warp

/// Takes kRows rows of x at a time. Rows of x or of the weight past the last one repeat it and are not stored.
template <WeightEncoding kEncoding, bool kQuantized, int kRows>
SS_KERNEL(kMaxThreads)
matvec_kernel(MatmulArguments a) {
  const int n_rows = *a.n_rows;
  const int first_row = block_y() * kRows;
  const int first_output = (block_x() * n_warps() + warp()) * kOutputs;
  if (first_row >= n_rows || first_output >= a.weight.n_rows) return;
  float sums[kOutputs][kRows];
  const std::int64_t second = first_output + 1 < a.weight.n_rows ? first_output + 1 : first_output;
  const std::int64_t weight_rows[kOutputs] = {first_output, second};
  if constexpr (kQuantized) {
    const std::int8_t* x[kRows];
    float x_scales[kRows];
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      const int row = first_row + m < n_rows ? first_row + m : n_rows - 1;
      x[m] = a.quantized_x + std::int64_t{row} * a.weight.padded_cols;
      x_scales[m] = a.x_scales[row];
    }
    dot_quantized_rows<kEncoding, kOutputs, kRows>(a.weight, weight_rows, x, x_scales, sums);
  } else {
    const float* x[kRows];
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      const int row = first_row + m < n_rows ? first_row + m : n_rows - 1;
      x[m] = a.x + std::int64_t{row} * a.weight.n_cols;
    }
    dot_rows<kEncoding, kOutputs, kRows>(a.weight, weight_rows, x, sums);
  }
  if (lane() != 0) return;
  SS_UNROLL
  for (int m = 0; m < kRows; ++m) {
    if (first_row + m >= n_rows) continue;
    if (is_gated_on_device(a.epilogue)) {
      store_gated(a, first_row + m, first_output / 2, sums[0][m], sums[1][m]);
      continue;
    }
    store_product(a, first_row + m, first_output, sums[0][m]);
    if (first_output + 1 < a.weight.n_rows) store_product(a, first_row + m, first_output + 1, sums[1][m]);
  }
}

template <WeightEncoding kEncoding, bool kQuantized, int kRows>
Result<void> launch_for_rows(const LaunchContext& context, const MatmulArguments& arguments) {
  const auto n_outputs = static_cast<std::uint32_t>(arguments.weight.n_rows);
  const auto n_rows = static_cast<std::uint32_t>(arguments.max_rows);
  return launch(context.stream, "matvec", matvec_kernel<kEncoding, kQuantized, kRows>,
                {.grid = {ceil_divide(n_outputs, std::uint32_t{kWarps * kOutputs}),
                          ceil_divide(n_rows, static_cast<std::uint32_t>(kRows))},
                 .threads = static_cast<std::uint32_t>(kWarps * context.warp_size)},
                arguments);
}

}  // namespace

Result<void> launch_matvec(const LaunchContext& context, const MatmulArguments& arguments) {
  const auto for_encoding = [&]<WeightEncoding kEncoding, bool kQuantized>() {
    if (arguments.max_rows == 1) return launch_for_rows<kEncoding, kQuantized, 1>(context, arguments);
    if (arguments.max_rows == 2) return launch_for_rows<kEncoding, kQuantized, 2>(context, arguments);
    return launch_for_rows<kEncoding, kQuantized, 4>(context, arguments);
  };
  if (arguments.quantized_x != nullptr) {
    return with_quantized_encoding(arguments.weight.encoding, [&]<WeightEncoding kEncoding>() {
      return for_encoding.template operator()<kEncoding, true>();
    });
  }
  return with_encoding(arguments.weight.encoding, [&]<WeightEncoding kEncoding>() {
    return for_encoding.template operator()<kEncoding, false>();
  });
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
