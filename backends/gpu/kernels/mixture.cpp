// The experts' products of a mixture for few tokens. For many tokens see grouped_tiles.cpp; route.cpp chooses the experts.
//
//   first product   out[t, j] = epilogue(x[t] W_e^T + bias_e),   e = expert[t, j]
//   second product  out[t] = aux[t] + sum_j share[t, j] * (x[t, j] W_e^T + bias_e)
//
// Shapes       x: [T, K], in the second product [T, n_top, K]; weights: [n_experts * N, K]; expert, share: [T, n_top];
//              out: [T, n_top, N] (N/2 if gated), in the second product [T, N]; bias: [n_experts, N] with gates before ups, or null
// Dtypes       x: f32, or with one f32 scale per row int8, or with one per row or group E4M3 numbers as BF16; weights: any encoding;
//              expert: int32; out: f32
// Accumulator  f32; int8 by int8 in int32
// Aliasing     in the second product aux may be out
// Alignment    as matvec.cpp
// Source       op.h's GroupedMatmul
//
// The products take one warp per output of a token.

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

/// sums[o] = weight row o . row `row` of x, scales included.
template <WeightEncoding kEncoding, bool kQuantized, int kOutputs>
SS_DEVICE void expert_dots(const GroupedMatmulArguments& a, const std::int64_t (&weight_rows)[kOutputs],
                           std::int64_t row, float (&sums)[kOutputs][1]) {
  if constexpr (kQuantized) {
    const std::int8_t* const x[1] = {a.quantized_x + row * a.weights.padded_cols};
    const float scale[1] = {a.x_scales[row]};
    dot_quantized_rows<kEncoding, kOutputs, 1>(a.weights, weight_rows, x, scale, sums);
  } else {
    if constexpr (kIsE4m3<kEncoding>) {
      if (a.x_scales != nullptr) {
        const Bf16* const x[1] = {a.narrow_x + row * a.weights.padded_cols};
        if constexpr (kHasWideGroups<kEncoding>) {
          const float* const scales = a.x_scales + row * n_wide_groups_on_device(a.weights.n_cols);
          dot_rows<kEncoding, kOutputs, 1>(a.weights, weight_rows, x, sums, scales);
          return;
        }
        dot_rows<kEncoding, kOutputs, 1>(a.weights, weight_rows, x, sums);
        SS_UNROLL
        for (int o = 0; o < kOutputs; ++o) sums[o][0] *= a.x_scales[row];
        return;
      }
    }
    const float* const x[1] = {a.x + row * a.weights.n_cols};
    dot_rows<kEncoding, kOutputs, 1>(a.weights, weight_rows, x, sums);
  }
}

template <WeightEncoding kEncoding, bool kQuantized>
SS_KERNEL(kMaxThreads)
grouped_matvec_kernel(GroupedMatmulArguments a) {
  const int token = block_y();
  const bool in_pairs = is_gated_on_device(a.epilogue);
  const int n_outputs = in_pairs ? a.n_expert_rows / 2 : a.n_expert_rows;
  const int output = block_x() * n_warps() + warp();
  if (token >= *a.n_rows || output >= n_outputs) return;
  const bool is_second = a.share != nullptr;
  const std::int64_t at = std::int64_t{token} * n_outputs + output;
  float total = is_second && a.aux != nullptr ? a.aux[at] : 0.0F;
  for (int j = 0; j < a.n_top; ++j) {
    const std::int64_t chosen = std::int64_t{token} * a.n_top + j;
    const std::int64_t row = is_second ? chosen : token;  // of x
    const std::int64_t first = std::int64_t{a.expert[chosen]} * a.n_expert_rows;
    float value = 0.0F;
    if (in_pairs) {
      const std::int64_t rows[2] = {first + 2 * output, first + 2 * output + 1};
      float sums[2][1];
      expert_dots<kEncoding, kQuantized, 2>(a, rows, row, sums);
      value = gated_by_expert(a, a.expert[chosen], output, sums[0][0], sums[1][0]);
    } else {
      const std::int64_t rows[1] = {first + output};
      float sums[1][1];
      expert_dots<kEncoding, kQuantized, 1>(a, rows, row, sums);
      value = sums[0][0] + expert_bias(a, a.expert[chosen], output);
    }
    if (is_second) {
      total += a.share[chosen] * value;
    } else if (lane() == 0) {
      a.out[chosen * n_outputs + output] = value + (a.aux != nullptr ? a.aux[chosen * n_outputs + output] : 0.0F);
    }
  }
  if (is_second && lane() == 0) a.out[at] = total;
}

template <WeightEncoding kEncoding, bool kQuantized>
Result<void> launch_matvec_for(const LaunchContext& context, const GroupedMatmulArguments& arguments) {
  return launch(context.stream, "grouped_matvec", grouped_matvec_kernel<kEncoding, kQuantized>,
                {.grid = {static_cast<std::uint32_t>(ceil_divide(arguments.n_expert_rows, kWarps)),
                          static_cast<std::uint32_t>(arguments.max_rows)},
                 .threads = static_cast<std::uint32_t>(kWarps * context.warp_size)},
                arguments);
}

}  // namespace

Result<void> launch_grouped_matvec(const LaunchContext& context, const GroupedMatmulArguments& arguments) {
  if (arguments.quantized_x != nullptr) {
    return with_quantized_encoding(arguments.weights.encoding, [&]<WeightEncoding kEncoding>() {
      return launch_matvec_for<kEncoding, true>(context, arguments);
    });
  }
  return with_known_encoding(arguments.weights.encoding, [&]<WeightEncoding kEncoding>() {
    return launch_matvec_for<kEncoding, false>(context, arguments);
  });
}

Result<void> launch_grouped_matmul(const LaunchContext& context, const GroupedMatmulArguments& arguments) {
  return arguments.by_expert.rows == nullptr ? launch_grouped_matvec(context, arguments)
                                             : launch_grouped_tiles(context, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
