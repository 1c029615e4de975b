// The experts' products of a mixture for few tokens: bound by reading the chosen experts' weights. For many tokens see grouped_tiles.cpp;
// route.cpp chooses the experts.
//
//   first product   out[t, j] = epilogue(x[t] W_e^T + bias_e),   e = expert[t, j];   with x_per_expert x[t, j]
//   second product  out[t] = aux[t] + sum_j share[t, j] * (x[t, j] W_e^T + bias_e)
//
// Shapes       x: [T, K], with x_per_expert, as in the second product, [T, n_top, K]; weights: [n_experts * N, K];
//              expert, share: [T, n_top]; out: [T, n_top, N] (N/2 if gated), in the second product [T, N];
//              bias: [n_experts, N] with gates before ups, or null
// Dtypes       x: f32, or with one f32 scale per row int8, or with one per row or group E4M3 numbers as BF16; weights: any encoding;
//              expert: int32; out: f32
// Accumulator  f32 per lane, then over lanes and warps in a fixed order; int8 by int8 in int32, per row or, with group scales, per 16
//              columns and then f32; experts are added in their order
// Aliasing     in the second product aux may be out
// Alignment    as matvec.cpp
// Source       op.h's GroupedMatmul
//
// In the first product a block computes some outputs of one token with one of its experts. In the second it computes some outputs of one
// token and multiplies all of the token's experts, one after the other: the first vectors of the next expert are requested while
// the last ones of this expert are multiplied. matvec_steps.h has the loop over the columns.

#include "gpu/kernels/divide.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/matvec_steps.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/residency.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kExpertsAtOnce = 8;  ///< experts whose sums shared memory holds until they are added

struct GroupedMatvecArguments {
  GroupedMatmulArguments product;
  std::int32_t column_warps_log2;  ///< of the number of warps that share the columns of a row
};

template <typename M>
struct GroupedShared {
  Chunk x[M::kXVecs];
  typename M::Sum sums[kExpertsAtOnce][kMatvecWarps][M::kOutputs];
};

/// The number of steps of an expert that multiply_part() counts for a warp over all parts of x. The warp takes step `own` and every
/// 2^apart_log2-th after it. The number is a multiple of kDepth, so that the next expert's vectors use the registers in the same order.
template <typename M>
SS_DEVICE int steps_of_warp(int n_steps, int own, int apart_log2) {
  const int n_whole_parts = (n_steps - 1) / M::kSteps;  // before the last part
  const int rest = n_steps - n_whole_parts * M::kSteps - own;
  const int of_rest =
      (rest + (1 << apart_log2) - 1) >> apart_log2;  // 0 or less if the last part has no step for this warp
  const int in_rest = rest > 0 ? (of_rest + M::kDepth - 1) / M::kDepth * M::kDepth : 0;
  return n_whole_parts * (M::kSteps >> apart_log2) + in_rest;
}

/// The product of one expert's row `output` with a row of x, with every scale, from the sums of the warps that share its columns.
template <typename M>
SS_DEVICE float expert_sum(const GroupedMatmulArguments& a, const typename M::Sum (&sums)[kMatvecWarps][M::kOutputs],
                           int first_warp, int n_warps, int o, std::int64_t x_row, std::int64_t weight_row) {
  typename M::Sum sum = sums[first_warp][o];
  for (int w = 1; w < n_warps; ++w) sum += sums[first_warp + w][o];
  return product_scale<M>(a.weights.row_scales, weight_row, a.x_scales, x_row) * static_cast<float>(sum);
}

/// As resident_blocks(), but 2 where three resident blocks leave too few registers for codes of four bits: sm_80 and sm_89 spilled 8 bytes
/// with zero points, and sm_100a 28 without. sm_90a spilled none with zero points, but has 2 there as well.
template <WeightEncoding kEncoding>
constexpr int resident_expert_blocks() {
  return kIsFourBit<kEncoding> && (kIsSm100 || kHasZeros<kEncoding>) ? 2 : resident_blocks<kEncoding, 1>();
}

template <WeightEncoding kEncoding, bool kQuantized>
SS_KERNEL_RESIDENT(kMatvecWarps, (resident_expert_blocks<kEncoding>()))
grouped_matvec_kernel(GroupedMatvecArguments arguments) {
  wait_for_earlier_kernels();
  using M = Matvec<kEncoding, kQuantized, 1, true>;
  const GroupedMatmulArguments& a = arguments.product;
  const bool is_second = a.share != nullptr;
  const int token = is_second ? block_y() : divide(block_y(), a.by_top);
  if (token >= *a.n_rows) return;
  auto& shared = shared_memory<GroupedShared<M>>();
  // The block's experts are a.expert[first_chosen] to a.expert[first_chosen + n_experts - 1].
  const int n_experts = is_second ? a.n_top : 1;
  const int first_chosen = is_second ? token * a.n_top : block_y();
  const auto first_row_of = [&](int chosen) { return std::int64_t{a.expert[chosen]} * a.n_expert_rows; };

  const int column_warps = 1 << arguments.column_warps_log2;
  const int n_outputs = (kMatvecWarps * M::kOutputs) >> arguments.column_warps_log2;  // of the block
  const int first_output = block_x() * n_outputs;
  const int of_warp = (warp() >> arguments.column_warps_log2) * M::kOutputs;
  const int own_step = warp() & (column_warps - 1);
  const WeightReader<M> reader(a.weights, a.n_expert_rows, first_output + of_warp, own_step, column_warps);
  std::int64_t first_row = first_row_of(first_chosen);
  InFlight<M> in_flight;
  request_first<M>(in_flight,
                   [&](int index, auto& chunks, auto& groups) { reader.request(index, chunks, groups, first_row); });

  const MatvecInputs inputs{a.x,     a.narrow_x,       a.quantized_x,        a.x_scales,
                            nullptr, a.weights.n_cols, a.weights.padded_cols};
  const int n_steps = (a.weights.n_cols + M::kValues * kWarpSize - 1) / (M::kValues * kWarpSize);
  const int n_own_steps = steps_of_warp<M>(n_steps, own_step, arguments.column_warps_log2);
  // One thread for each product, or pair of products that are a gate and its value.
  const bool is_gated = is_gated_on_device(a.epilogue);
  const int o = thread_x() * (is_gated ? 2 : 1);
  const int output = first_output + o;
  const bool stores = o < n_outputs && output < a.n_expert_rows;
  const int first_warp = o / M::kOutputs << arguments.column_warps_log2;
  const int n_rows_of_out = is_gated ? a.n_expert_rows / 2 : a.n_expert_rows;
  const std::int64_t at = std::int64_t{block_y()} * n_rows_of_out + (is_gated ? output / 2 : output);
  float total = stores && a.aux != nullptr ? a.aux[at] : 0.0F;

  for (int j = 0; j < n_experts; ++j) {
    const int chosen = first_chosen + j;
    const int x_row = a.x_per_expert != 0 ? chosen : token;
    const std::int64_t next_row = j + 1 < n_experts ? first_row_of(chosen + 1) : first_row;
    typename M::Sum sums[M::kOutputs][1];
    SS_UNROLL
    for (int i = 0; i < M::kOutputs; ++i) sums[i][0] = 0;
    const auto request = [&](int index, auto& chunks, auto& groups) {
      const bool is_of_next = index >= n_own_steps;
      reader.request(is_of_next ? index - n_own_steps : index, chunks, groups, is_of_next ? next_row : first_row);
    };
    int index = 0;  // of the warp's step that is multiplied next
    for (int first = 0; first < n_steps; first += M::kSteps) {
      if (first > 0 || j > 0) sync_block();  // every warp has multiplied the last part of x
      const int end = first + M::kSteps < n_steps ? M::kSteps : n_steps - first;
      float squares[1] = {};
      store_x<M>(inputs, x_row, x_row + 1, first, end, shared.x, squares);
      sync_block();  // this part of x is stored
      multiply_part<M>(shared.x, end, own_step, column_warps, in_flight, index, sums, request);
    }
    first_row = next_row;
    const int slot = j % kExpertsAtOnce;
    SS_UNROLL
    for (int i = 0; i < M::kOutputs; ++i) {
      const auto sum = sum_lanes(sums[i][0]);
      if (lane() == 0) shared.sums[slot][warp()][i] = sum;
    }
    if (slot + 1 < kExpertsAtOnce && j + 1 < n_experts) continue;
    sync_block();  // the sums of these experts are stored
    for (int s = 0; s <= slot && stores; ++s) {
      const int of = first_chosen + j - slot + s;
      const int expert = a.expert[of];
      const std::int64_t weight_row = first_row_of(of) + output;
      const std::int64_t of_x = a.x_per_expert != 0 ? of : token;
      const auto sum_of = [&](int i) {
        return expert_sum<M>(a, shared.sums[s], first_warp, column_warps, o % M::kOutputs + i, of_x, weight_row + i);
      };
      const float value = is_gated ? gated_by_expert(a, expert, output / 2, sum_of(0), sum_of(1))
                                   : sum_of(0) + expert_bias(a, expert, output);
      total += is_second ? a.share[of] * value : value;
    }
  }
  if (stores) a.out[at] = total;
}

template <WeightEncoding kEncoding, bool kQuantized>
Result<void> launch_matvec_for(const LaunchContext& context, const GroupedMatmulArguments& arguments) {
  using M = Matvec<kEncoding, kQuantized, 1, true>;
  const std::int32_t n_blocks_of_rows = arguments.max_rows * (arguments.share != nullptr ? 1 : arguments.n_top);
  const std::int64_t n_warps = std::int64_t{ceil_divide(arguments.n_expert_rows, M::kOutputs)} * n_blocks_of_rows;
  const std::int32_t log2 = column_warps_log2<M>(context, arguments.weights.n_cols, n_warps);
  return launch(
      context.stream, "grouped_matvec", grouped_matvec_kernel<kEncoding, kQuantized>,
      {.grid = {static_cast<std::uint32_t>(ceil_divide(arguments.n_expert_rows, kMatvecWarps * M::kOutputs >> log2)),
                static_cast<std::uint32_t>(n_blocks_of_rows)},
       .threads = static_cast<std::uint32_t>(kMatvecWarps * context.warp_size),
       .shared_bytes = sizeof(GroupedShared<M>)},
      GroupedMatvecArguments{.product = arguments, .column_warps_log2 = log2});
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
