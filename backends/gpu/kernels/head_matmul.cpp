// One product for each head of a token, with the head's own matrix. Elements after the inputs of a head are copied to after its outputs.
//
//   out[t, h] = (x[t, h, :K] W_h^T, x[t, h, K:])
//
// Shapes       x: [T, n_heads, K + C]; weights: [n_heads * N, padded K]; out: [T, n_heads, N + C];
//              narrow_x: [T, n_heads, padded K], of tiles
// Dtypes       x, out: f32; narrow_x: BF16; weights: f32, BF16 or FP16, which tiles round to BF16
// Accumulator  f32
// Aliasing     none
// Alignment    rows of the weights and of narrow_x to 16 bytes; with dot products, heads of x as well
// Source       op.h's HeadMatmul; DeepSeek-V2, arXiv:2405.04434, section 2.1.2: the matrices that make queries to latents, and outputs
//              of attended latents
//
// For few tokens a warp computes dot products with four rows of a head's weight. Blocks with other tokens and the same rows of the
// weight are neighbours in the grid, so that the second one finds these rows in the cache. For more tokens a block computes a tile
// (matmul_tile.h) whose lines are the same head of consecutive tokens. The block with a head's first outputs also copies what follows
// the head's inputs.

#include "core/checked.h"
#include "gpu/kernels/dot_product.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/matmul_tile.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kWarps = 4;
constexpr int kOutputs = 4;  ///< dot products of a warp

/// The head's part of a row of x or of out, whose heads have `stride` elements each.
template <typename T>
SS_DEVICE T* head_at(T* rows, int token, const HeadMatmulArguments& a, int head, int stride) {
  return rows + (std::int64_t{token} * a.n_heads + head) * stride;
}

template <WeightEncoding kEncoding>
SS_KERNEL(kMaxThreads)
head_matvec_kernel(HeadMatmulArguments a) {
  wait_for_earlier_kernels();
  const int token = block_x();
  const int head = block_z();
  const int first = (block_y() * n_warps() + warp()) * kOutputs;
  if (token >= *a.n_rows || first >= a.n_outputs) return;
  const float* const x[1] = {head_at(a.x, token, a, head, a.x_stride)};
  float* const out = head_at(a.out, token, a, head, a.out_stride);
  std::int64_t rows[kOutputs];
  SS_UNROLL
  for (int o = 0; o < kOutputs; ++o) {
    const int output =
        first + o < a.n_outputs ? first + o : a.n_outputs - 1;  // outputs past the end repeat the last one
    rows[o] = std::int64_t{head} * a.n_outputs + output;
  }
  float sums[kOutputs][1];
  dot_rows<kEncoding, kOutputs, 1>(a.weights, rows, x, sums);
  if (lane() == 0) {
    SS_UNROLL
    for (int o = 0; o < kOutputs; ++o) {
      if (first + o < a.n_outputs) out[first + o] = sums[o][0];
    }
  }
  if (first > 0) return;
  for (int i = lane(); i < a.n_copied; i += kWarpSize) out[a.n_outputs + i] = x[0][a.weights.n_cols + i];
}

/// Maps the lines of a block's tile to one head of consecutive tokens, as rows of narrow_x.
struct HeadOfTokens {
  int first;  ///< the first token
  int end;    ///< the number of tokens
  int head;
  int n_heads;
  SS_DEVICE int of(int, int line) const { return by_line(line); }
  SS_DEVICE int by_line(int line) const { return first + line < end ? row(first + line) : -1; }
  SS_DEVICE int row(int token) const { return token * n_heads + head; }
};

template <MatmulTiles kTiles, WeightEncoding kEncoding>
SS_KERNEL_RESIDENT(ShapeOf<kTiles>::kWarps, kResidentTiles<kTiles>)
head_tiles_kernel(HeadMatmulArguments a) {
  wait_for_earlier_kernels();
  using Shape = ShapeFor<kTiles, kEncoding, false>;
  const int head = block_z();
  const HeadOfTokens tokens{block_x() * Shape::kRows, *a.n_rows, head, a.n_heads};
  if (tokens.first >= tokens.end) return;
  if (block_y() == 0) {
    for (int line = warp(); line < Shape::kRows && tokens.first + line < tokens.end; line += n_warps()) {
      const float* const from = head_at(a.x, tokens.first + line, a, head, a.x_stride) + a.weights.n_cols;
      float* const to = head_at(a.out, tokens.first + line, a, head, a.out_stride) + a.n_outputs;
      for (int i = lane(); i < a.n_copied; i += kWarpSize) to[i] = from[i];
    }
  }
  WeightView weight = a.weights;
  weight.values += std::int64_t{head} * a.n_outputs * weight.row_bytes;
  weight.n_rows = a.n_outputs;
  compute_tile<kTiles, kEncoding, false>(a.narrow_x, nullptr, tokens, weight, block_y() * Shape::kCols,
                                         {0, steps_of<Shape, false>(weight)}, [&](const auto& sums) {
                                           const auto row_of = [&](int line) {
                                             const bool exists = tokens.first + line < tokens.end;
                                             const int row = tokens.row(exists ? tokens.first + line : tokens.end - 1);
                                             return ResultRow{.index = row, .of_x = row, .exists = exists};
                                           };
                                           const std::uint32_t row_bytes =
                                               4U * static_cast<std::uint32_t>(a.out_stride);
                                           const auto store = [&]<int kColumns>() {
                                             sums.template finish_columns<kColumns>(
                                                 [&](int col) {
                                                   return PlainSums<float, kColumns>{a.out + col, row_bytes};
                                                 },
                                                 row_of);
                                           };
                                           if (a.n_outputs % kMostColumns == 0 && a.out_stride % kMostColumns == 0) {
                                             store.template operator()<kMostColumns>();
                                           } else {
                                             store.template operator()<1>();
                                           }
                                         });
}

template <WeightEncoding kEncoding>
Result<void> launch_matvec_for(const LaunchContext& context, const HeadMatmulArguments& a) {
  return launch(context.stream, "head_matvec", head_matvec_kernel<kEncoding>,
                {.grid = {static_cast<std::uint32_t>(a.max_rows),
                          static_cast<std::uint32_t>(ceil_divide(a.n_outputs, kWarps * kOutputs)),
                          static_cast<std::uint32_t>(a.n_heads)},
                 .threads = static_cast<std::uint32_t>(kWarps * context.warp_size)},
                a);
}

template <MatmulTiles kTiles, WeightEncoding kEncoding>
Result<void> launch_tiles_for(const LaunchContext& context, const HeadMatmulArguments& a) {
  using Shape = ShapeFor<kTiles, kEncoding, false>;
  return launch(context.stream, "head_tiles", head_tiles_kernel<kTiles, kEncoding>,
                {.grid = {static_cast<std::uint32_t>(ceil_divide(a.max_rows, Shape::kRows)),
                          static_cast<std::uint32_t>(ceil_divide(a.n_outputs, Shape::kCols)),
                          static_cast<std::uint32_t>(a.n_heads)},
                 .threads = static_cast<std::uint32_t>(Shape::kWarps * context.warp_size),
                 .shared_bytes = sizeof(TileShared<Shape, StageOf<Shape, kEncoding, false>>)},
                a);
}

template <WeightEncoding kEncoding>
Result<void> launch_for(const LaunchContext& context, const HeadMatmulArguments& arguments) {
  if (arguments.narrow_x == nullptr) return launch_matvec_for<kEncoding>(context, arguments);
  if (arguments.tiles == MatmulTiles::k16x64)
    return launch_tiles_for<MatmulTiles::k16x64, kEncoding>(context, arguments);
  return launch_tiles_for<MatmulTiles::k64x64, kEncoding>(context, arguments);
}

}  // namespace

Result<void> launch_head_matmul(const LaunchContext& context, const HeadMatmulArguments& arguments) {
  switch (arguments.weights.encoding) {
    case WeightEncoding::kF32:
      return launch_for<WeightEncoding::kF32>(context, arguments);
    case WeightEncoding::kBf16:
      return launch_for<WeightEncoding::kBf16>(context, arguments);
    case WeightEncoding::kF16:
      return launch_for<WeightEncoding::kF16>(context, arguments);
    default:
      return Error{ErrorCode::kInternal, "head_matmul: expected f32, bf16 or f16"};
  }
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
