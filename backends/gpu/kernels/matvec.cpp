// Matrix product for few rows of x, as decode has them: bound by reading the weight once.
//
//   out[m, n] = epilogue(sum_k x[m, k] * weight[n, k])
//
// or with the norm of x before it, in one kernel instead of two:
//
//   out[m, n] = epilogue(sum_k x[m, k] * norm_weight[k] * weight[n, k] / sqrt(mean_k(x[m, k]^2) + norm_eps))
//
// Shapes       x: [rows, K]; weight: [N, K]; out: [rows, N], or [rows, N/2] for gated epilogues; rows <= kMatvecRows
// Dtypes       x: f32, or with one f32 scale per row int8, or with one per row or group E4M3 numbers as BF16; weight: any encoding;
//              out: f32
// Accumulator  f32 per lane, then over lanes and warps in a fixed order; int8 by int8 in int32, per row or, with group
//              scales, per 16 columns and then f32
// Aliasing     aux may be out
// Alignment    weight rows, int8 and BF16 x to 16 bytes; f32 x is read 16 bytes at a time where K is a multiple of 4
// Source       own
//
// matvec_steps.h has the loop over the columns. Every block reads all of x and so has the sum of its squares at the end of this loop, when
// the total sums are divided by its root.

#include "core/checked.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/matvec_steps.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/residency.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

struct MatvecArguments {
  MatmulArguments product;
  std::int32_t column_warps_log2;  ///< of the number of warps that share the columns of a row
};

/// The product with every scale, from the sums of the warps that share its columns.
template <typename M>
SS_DEVICE float whole_sum(const MatmulArguments& a, const typename M::Shared& shared, int first_warp, int n_warps,
                          int o, int m, int row, int output) {
  typename M::Sum sum = shared.sums[first_warp][o][m];
  for (int w = 1; w < n_warps; ++w) sum += shared.sums[first_warp + w][o][m];
  float scale = product_scale<M>(a.weight.row_scales, output, a.x_scales, row);
  if constexpr (!M::kQuantized) {
    if (a.norm_weight != nullptr) {
      float squares = 0.0F;
      for (int w = 0; w < kMatvecWarps; ++w) squares += shared.squares[w][m];
      scale /= sqrtf(squares / static_cast<float>(a.weight.n_cols) + a.norm_eps);
    }
  }
  return scale * static_cast<float>(sum);
}

/// Whether the first loads of the weight are issued before the wait for earlier kernels, none of which writes weights. The number of rows
/// is then read while these loads occupy registers. On sm_100a the kernels of four-bit codes have no register left for it, and would spill.
template <WeightEncoding kEncoding>
inline constexpr bool kRequestsEarly = kKernelsMayOverlap && !kIsFourBit<kEncoding>;

template <WeightEncoding kEncoding, bool kQuantized, int kRows>
SS_KERNEL_RESIDENT(kMatvecWarps, (resident_blocks<kEncoding, kRows>()))
matvec_kernel(MatvecArguments arguments) {
  using M = Matvec<kEncoding, kQuantized, kRows>;
  const MatmulArguments& a = arguments.product;
  const int first_row = block_y() * kRows;
  int n_rows = 0;
  if constexpr (!kRequestsEarly<kEncoding>) {
    wait_for_earlier_kernels();
    n_rows = *a.n_rows;
    if (first_row >= n_rows) return;
  }
  auto& shared = shared_memory<typename M::Shared>();
  const int column_warps = 1 << arguments.column_warps_log2;
  const int n_outputs = (kMatvecWarps * M::kOutputs) >> arguments.column_warps_log2;  // of the block
  const int first_output = block_x() * n_outputs;
  const int of_warp = (warp() >> arguments.column_warps_log2) * M::kOutputs;
  const WeightReader<M> reader(a.weight, a.weight.n_rows, first_output + of_warp, warp() & (column_warps - 1),
                               column_warps);
  const MatvecInputs inputs{a.x,           a.narrow_x,      a.quantized_x,       a.x_scales,
                            a.norm_weight, a.weight.n_cols, a.weight.padded_cols};
  InFlight<M> in_flight;
  const auto request = [&](int index, auto& chunks, auto& groups) { reader.request(index, chunks, groups); };
  request_first<M>(in_flight, request);
  if constexpr (kRequestsEarly<kEncoding>) {
    wait_for_earlier_kernels();
    n_rows = *a.n_rows;
    if (first_row >= n_rows) return;
  }

  typename M::Sum sums[M::kOutputs][kRows];
  SS_UNROLL
  for (int o = 0; o < M::kOutputs; ++o) {
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) sums[o][m] = 0;
  }
  float squares[kRows] = {};
  const int n_steps = (a.weight.n_cols + M::kValues * kWarpSize - 1) / (M::kValues * kWarpSize);
  int index = 0;  // of the warp's step that is multiplied next
  for (int first = 0; first < n_steps; first += M::kSteps) {
    if (first > 0) sync_block();  // every warp has multiplied the last part of x
    const int end = first + M::kSteps < n_steps ? M::kSteps : n_steps - first;
    store_x<M>(inputs, first_row, n_rows, first, end, shared.x, squares);
    sync_block();  // this part of x is stored
    multiply_part<M>(shared.x, end, warp() & (column_warps - 1), column_warps, in_flight, index, sums, request);
  }

  SS_UNROLL
  for (int o = 0; o < M::kOutputs; ++o) {
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      const auto sum = sum_lanes(sums[o][m]);
      if (lane() == 0) shared.sums[warp()][o][m] = sum;
    }
  }
  if (!kQuantized && a.norm_weight != nullptr) {
    SS_UNROLL
    for (int m = 0; m < kRows; ++m) {
      const float sum = sum_lanes(squares[m]);
      if (lane() == 0) shared.squares[warp()][m] = sum;
    }
  }
  sync_block();  // the sums of every warp are stored
  // One thread for each product, or pair of products that are a gate and its value.
  const int m = thread_x() % kRows;
  const int row = first_row + m;
  const bool is_gated = is_gated_on_device(a.epilogue);
  const int o = thread_x() / kRows * (is_gated ? 2 : 1);
  const int output = first_output + o;
  if (o >= n_outputs || output >= a.weight.n_rows || row >= n_rows) return;
  const int first_warp = o / M::kOutputs << arguments.column_warps_log2;
  const float sum = whole_sum<M>(a, shared, first_warp, column_warps, o % M::kOutputs, m, row, output);
  if (!is_gated) {
    store_product(a, row, output, sum);
    return;
  }
  const float up = whole_sum<M>(a, shared, first_warp, column_warps, o % M::kOutputs + 1, m, row, output + 1);
  store_gated(a, row, output / 2, sum, up);
}

template <WeightEncoding kEncoding, bool kQuantized, int kRows>
Result<void> launch_for_rows(const LaunchContext& context, const MatmulArguments& arguments) {
  using M = Matvec<kEncoding, kQuantized, kRows>;
  const std::int32_t log2 =
      column_warps_log2<M>(context, arguments.weight.n_cols, ceil_divide(arguments.weight.n_rows, M::kOutputs));
  const auto n_outputs = static_cast<std::uint32_t>(kMatvecWarps * M::kOutputs >> log2);
  return launch(context.stream, "matvec", matvec_kernel<kEncoding, kQuantized, kRows>,
                {.grid = {ceil_divide(static_cast<std::uint32_t>(arguments.weight.n_rows), n_outputs),
                          ceil_divide(static_cast<std::uint32_t>(arguments.max_rows), std::uint32_t{kRows})},
                 .threads = static_cast<std::uint32_t>(kMatvecWarps * context.warp_size),
                 .shared_bytes = sizeof(typename M::Shared)},
                MatvecArguments{.product = arguments, .column_warps_log2 = log2});
}

}  // namespace

Result<void> launch_matvec(const LaunchContext& context, const MatmulArguments& arguments) {
  const auto for_encoding = [&]<WeightEncoding kEncoding, bool kQuantized>() {
    if (arguments.max_rows == 1) return launch_for_rows<kEncoding, kQuantized, 1>(context, arguments);
    // Weights in blocks have no kernel for two rows of x and take that for four, since each would be compiled for seven kinds of codes.
    if constexpr (!kIsBlocks<kEncoding>) {
      if (arguments.max_rows == 2) return launch_for_rows<kEncoding, kQuantized, 2>(context, arguments);
    }
    return launch_for_rows<kEncoding, kQuantized, 4>(context, arguments);
  };
  if (arguments.quantized_x != nullptr) {
    return with_quantized_encoding(arguments.weight.encoding, [&]<WeightEncoding kEncoding>() {
      return for_encoding.template operator()<kEncoding, true>();
    });
  }
  return with_known_encoding(arguments.weight.encoding, [&]<WeightEncoding kEncoding>() {
    return for_encoding.template operator()<kEncoding, false>();
  });
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
