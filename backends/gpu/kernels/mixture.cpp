// Mixture of experts: the router, and the experts' products for few tokens. For many tokens see grouped_tiles.cpp.
//
//   route:           s = x gate^T + bias;  p = softmax(s), or 1 / (1 + exp(-s)) by `score`;  expert[t, j], weight[t, j]:
//                    the n_top largest of p, divided by their sum if `renormalize`
//   grouped matvec:  first product   out[t, j] = epilogue(x[t] W_e^T + bias_e),   e = expert[t, j]
//                    second product  out[t] = aux[t] + sum_j share[t, j] * (x[t, j] W_e^T + bias_e)
//
// Shapes       x: [T, K], in the second product [T, n_top, K]; gate: [n_experts, K]; weights: [n_experts * N, K];
//              expert, weight, share: [T, n_top]; out: [T, n_top, N] (N/2 if gated), in the second product [T, N];
//              bias: [n_experts], in the products [n_experts, N] with gates before ups, or null
// Dtypes       x: f32, or with one f32 scale per row int8, or with one per row or group E4M3 numbers as BF16; weights: any encoding;
//              expert: int32; out: f32
// Accumulator  f32; int8 by int8 in int32; the softmax's sum is compensated (Kahan)
// Aliasing     in the second product aux may be out
// Alignment    as matvec.cpp
// Source       op.h's Route and GroupedMatmul
//
// The router takes one block per token: warps compute the scores, then one thread chooses. The products take one warp per
// output of a token.

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

struct RouteShared {
  float scores[kMaxExperts];
  int order[kMaxExperts];
};

template <WeightEncoding kEncoding>
SS_KERNEL(kMaxThreads)
route_kernel(RouteArguments a) {
  const int token = block_x();
  if (token >= *a.n_rows) return;
  auto& shared = shared_memory<RouteShared>();
  const int n_experts = a.gate.n_rows;
  const float* const x[1] = {a.x + std::int64_t{token} * a.gate.n_cols};
  for (int expert = warp(); expert < n_experts; expert += n_warps()) {
    const std::int64_t rows[1] = {expert};
    float score[1][1];
    dot_rows<kEncoding, 1, 1>(a.gate, rows, x, score);
    if (lane() == 0) shared.scores[expert] = score[0][0] + (a.bias != nullptr ? a.bias[expert] : 0.0F);
  }
  sync_block();
  if (thread_x() != 0) return;
  // NaN cannot be ordered: a row with a NaN score takes the first experts, with weights of NaN.
  float poison = 0.0F;
  for (int i = 0; i < n_experts; ++i) {
    if (shared.scores[i] != shared.scores[i]) poison = shared.scores[i];
    shared.order[i] = i;
  }
  for (int i = 0; i < a.n_top && poison == poison; ++i) {
    int best = i;
    for (int j = i + 1; j < n_experts; ++j) {
      const float gain = shared.scores[shared.order[j]] - shared.scores[shared.order[best]];
      if (gain > 0.0F || (gain == 0.0F && shared.order[j] < shared.order[best])) best = j;
    }
    const int chosen = shared.order[best];
    shared.order[best] = shared.order[i];
    shared.order[i] = chosen;
  }
  const bool is_sigmoid = a.score == RouteScore::kSigmoid;
  const float row_max = shared.scores[shared.order[0]];
  const auto share = [&](int i) {
    const float score = shared.scores[shared.order[i]];
    return is_sigmoid ? 1.0F / (1.0F + expf(-score)) : expf(score - row_max);
  };
  // Kahan summation: hundreds of tiny terms are added to the first, which is 1, and each would be rounded away.
  float sum = is_sigmoid && a.renormalize == 0 ? 1.0F : 0.0F;
  float excess = 0.0F;
  const int n_summed = a.renormalize != 0 ? a.n_top : is_sigmoid ? 0 : n_experts;
  for (int i = 0; i < n_summed; ++i) {
    const float term = share(i) - excess;
    const float next = sum + term;
    excess = (next - sum) - term;
    sum = next;
  }
  for (int j = 0; j < a.n_top; ++j) {
    const std::int64_t at = std::int64_t{token} * a.n_top + j;
    a.expert[at] = shared.order[j];
    a.weight[at] = share(j) / sum + poison;
  }
}

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

Result<void> launch_route(const LaunchContext& context, const RouteArguments& arguments) {
  return with_encoding(arguments.gate.encoding, [&]<WeightEncoding kEncoding>() {
    return launch(context.stream, "route", route_kernel<kEncoding>,
                  {.grid = {static_cast<std::uint32_t>(arguments.max_rows)},
                   .threads = static_cast<std::uint32_t>(kWarps * context.warp_size),
                   .shared_bytes = sizeof(RouteShared)},
                  arguments);
  });
}

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
