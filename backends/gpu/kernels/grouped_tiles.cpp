// The products of a mixture's experts for many tokens, on the matrix cores (matmul_tile.h).
//
//   first product   out[t, j] = epilogue(x[t] W_e^T + bias_e),   e = expert[t, j];   with x_per_expert x[t, j]
//   second product  out[t] = aux[t] + sum_j share[t, j] * (x[t, j] W_e^T + bias_e)
//
// Shapes       x: [T, padded K], with x_per_expert, as in the second product, [T, n_top, padded K]; weights: [n_experts * N, padded K];
//              bias: [n_experts, N] with gates before ups, or null; expert, share: [T, n_top];
//              out: [T, n_top, N] (N/2 if gated), in the second product [T, N];
//              partial: [T, n_top, N], in the second product
// Dtypes       x: BF16, or with one f32 scale per row int8, or with one per row or group E4M3 as BF16; weights: any encoding;
//              expert: int32; out: f32
// Accumulator  f32; int8 by int8 in int32, per row or, with group scales, per group and then f32
// Aliasing     in the second product aux may be out
// Alignment    rows of x and of the weights to 16 bytes
// Source       grouping as in MegaBlocks (arXiv:2211.15841) and in vLLM's moe_align_block_size
//
// First the rows are grouped, so that every expert has tiles of its own. Then a block computes one such tile: it gathers
// its rows of x by the list and multiplies them with the expert's weight. The host does not know how many tiles there
// are, so the grid has as many as there could be, and blocks past the last one exit at once. The second product stores
// each (token, expert) row separately, and a last kernel adds each token's rows in the order of its slots, so that
// results do not depend on timing.

#include "core/checked.h"
#include "gpu/kernels/divide.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/matmul_tile.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kThreads = 256;

struct GroupShared {
  int n_rows[kMaxExperts];  ///< rows of each expert
  BlockScratch<int> scratch;
};

/// One block per expert: counts the rows of all experts to find where its own tiles begin, then lists its rows.
template <int kTileRows>
SS_KERNEL(kThreads)
group_rows_kernel(GroupedMatmulArguments a) {
  wait_for_earlier_kernels();
  auto& shared = shared_memory<GroupShared>();
  const int own = block_x();
  const int n_rows = *a.n_rows * a.n_top;
  for (int expert = thread_x(); expert < a.n_experts; expert += kThreads) shared.n_rows[expert] = 0;
  sync_block();
  for (int row = thread_x(); row < n_rows; row += kThreads) add_shared(&shared.n_rows[a.expert[row]], 1);
  sync_block();  // every row is counted
  const auto tiles_of = [&](int expert) { return (shared.n_rows[expert] + kTileRows - 1) / kTileRows; };
  int n_before = 0;
  for (int expert = thread_x(); expert < own; expert += kThreads) n_before += tiles_of(expert);
  const int first_tile = reduce_block(n_before, shared.scratch, [](int p, int q) { return p + q; });
  const int n_own_tiles = tiles_of(own);
  // Each thread scans one contiguous slice of the rows, so that the list keeps their order.
  const int n_slice = (n_rows + kThreads - 1) / kThreads;
  const int begin = thread_x() * n_slice;
  const int end = begin + n_slice < n_rows ? begin + n_slice : n_rows;
  int n_mine = 0;
  for (int row = begin; row < end; ++row) n_mine += a.expert[row] == own ? 1 : 0;
  std::int32_t* const list = a.by_expert.rows + std::int64_t{first_tile} * kTileRows;
  int at = exclusive_sum(n_mine, shared.scratch);
  for (int row = begin; row < end; ++row) {
    if (a.expert[row] == own) list[at++] = row;
  }
  for (int line = shared.n_rows[own] + thread_x(); line < n_own_tiles * kTileRows; line += kThreads) list[line] = -1;
  for (int tile = thread_x(); tile < n_own_tiles; tile += kThreads) a.by_expert.experts[first_tile + tile] = own;
  if (own == a.n_experts - 1 && thread_x() == 0) *a.by_expert.n_tiles = first_tile + n_own_tiles;
}

/// The rows of x of a gathered tile, looked up once: a thread loads the same lines in every K step.
template <int kVecs>
struct GatheredRows {
  int held[kVecs];
  const std::int32_t* list;  ///< the tile's (token, slot) pairs, -1: none
  Divisor by_slots;          ///< by the slots of a token that share a row of x: 1 with x_per_expert
  SS_DEVICE int of(int u, int) const { return held[u]; }
  SS_DEVICE int by_line(int line) const { return row_of_x(list[line]); }
  SS_DEVICE int row_of_x(int pair) const { return pair < 0 ? pair : divide(pair, by_slots); }
};

/// The weight of one expert: a view of its rows.
template <WeightEncoding kEncoding>
SS_DEVICE WeightView weight_of(const GroupedMatmulArguments& a, int expert) {
  WeightView weight = a.weights;
  const std::int64_t first = std::int64_t{expert} * a.n_expert_rows;
  weight.n_rows = a.n_expert_rows;
  weight.values += first * weight.row_bytes;
  if constexpr (kHasRowScales<kEncoding>) weight.row_scales += first;
  if constexpr (kHasGroups<kEncoding>) {
    const std::int64_t begin = first * (weight.padded_cols / static_cast<int>(kScaleGroupSize));
    if constexpr (kIsNvfp4<kEncoding>) {
      weight.scale_pairs += begin;
    } else if constexpr (kIsE2m1<kEncoding>) {
      weight.group_powers += begin;
    } else {
      weight.group_scales += begin;
    }
    if constexpr (kHasZeros<kEncoding>) weight.group_zeros += begin;
  }
  if constexpr (kHasWideGroups<kEncoding>) weight.wide_scales += first * n_wide_groups_on_device(weight.n_cols);
  return weight;
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
SS_DEVICE void compute_expert_tile(const GroupedMatmulArguments& a) {
  using Shape = ShapeFor<kTiles, kEncoding, kQuantized>;
  using Loader = XLoader<Shape, kQuantized>;
  const int tile = block_x();
  if (tile >= *a.by_expert.n_tiles) return;
  const std::int32_t* const list = a.by_expert.rows + std::int64_t{tile} * Shape::kRows;
  const bool is_second = a.share != nullptr;
  GatheredRows<Loader::kVecs> x_rows;
  x_rows.list = list;
  if (a.x_per_expert == 0) x_rows.by_slots = a.by_top;
  SS_UNROLL
  for (int u = 0; u < Loader::kVecs; ++u) {
    const int line = (thread_x() + u * Loader::kThreads) / Shape::kVecsPerLine;
    x_rows.held[u] = line < Shape::kRows ? x_rows.by_line(line) : -1;
  }
  const int expert = a.by_expert.experts[tile];
  const WeightView weight = weight_of<kEncoding>(a, expert);
  const void* const x = kQuantized ? static_cast<const void*>(a.quantized_x) : a.narrow_x;
  constexpr bool kScaled = kQuantized || kHasRowScales<kEncoding>;
  const ProductOutputs outputs{.x_scales = a.x_scales,
                               .row_scales = kHasRowScales<kEncoding> ? weight.row_scales : nullptr,
                               .bias = a.bias != nullptr ? a.bias + std::int64_t{expert} * a.n_expert_rows : nullptr,
                               .aux = nullptr,
                               .out = is_second ? a.partial : a.out,
                               .n_cols = a.n_expert_rows,
                               .softcap = 0.0F,
                               .epilogue = a.epilogue};
  compute_tile<kTiles, kEncoding, kQuantized>(
      x, a.x_scales, x_rows, weight, block_y() * Shape::kCols, {0, steps_of<Shape, kQuantized>(weight)},
      [&](const auto& sums) {
        const auto row_of = [&](int line) {
          const bool exists = list[line] >= 0;  // -1: padding of the expert's last tile
          const int row = exists ? list[line] : 0;
          return ResultRow{.index = row, .of_x = x_rows.row_of_x(row), .exists = exists};
        };
        with_epilogue<true>(outputs, [&]<EpilogueKind kKind, int kColumns>() {
          sums.template finish_columns<kColumns>(
              [&](int col) { return ColumnsEpilogue<kKind, kColumns, kScaled>(outputs, col); }, row_of);
        });
      });
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
SS_KERNEL_RESIDENT(ShapeOf<kTiles>::kWarps, kResidentTiles<kTiles>)
grouped_tiles_kernel(GroupedMatmulArguments a) {
  wait_for_earlier_kernels();
  // Empty for wgmma tiles on targets without wgmma, where the host never launches them.
  if constexpr (kHasWarpgroups || !ShapeOf<kTiles>::kByWarpgroups) {
    compute_expert_tile<kTiles, kEncoding, kQuantized>(a);
  }
}

/// out[t] = aux[t] + sum_j share[t, j] * partial[t, j], always in the same order.
SS_KERNEL(kThreads) combine_experts_kernel(GroupedMatmulArguments a) {
  wait_for_earlier_kernels();
  const int token = block_y();
  const int col = block_x() * kThreads + thread_x();
  if (token >= *a.n_rows || col >= a.n_expert_rows) return;
  const std::int64_t at = std::int64_t{token} * a.n_expert_rows + col;
  float total = a.aux != nullptr ? a.aux[at] : 0.0F;
  for (int j = 0; j < a.n_top; ++j) {
    const std::int64_t row = std::int64_t{token} * a.n_top + j;
    total += a.share[row] * a.partial[row * a.n_expert_rows + col];
  }
  a.out[at] = total;
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
Result<void> launch_for(const LaunchContext& context, const GroupedMatmulArguments& a) {
  using Shape = ShapeFor<kTiles, kEncoding, kQuantized>;
  SS_TRY_VOID(launch(
      context.stream, "group_rows", group_rows_kernel<Shape::kRows>,
      {.grid = {static_cast<std::uint32_t>(a.n_experts)}, .threads = kThreads, .shared_bytes = sizeof(GroupShared)},
      a));
  return launch(context.stream, "grouped_tiles", grouped_tiles_kernel<kTiles, kEncoding, kQuantized>,
                {.grid = {static_cast<std::uint32_t>(a.by_expert.max_tiles),
                          static_cast<std::uint32_t>(ceil_divide(a.n_expert_rows, Shape::kCols))},
                 .threads = static_cast<std::uint32_t>(Shape::kWarps * context.warp_size),
                 .shared_bytes = sizeof(TileShared<Shape, StageOf<Shape, kEncoding, kQuantized>>)},
                a);
}

}  // namespace

Result<void> launch_grouped_tiles(const LaunchContext& context, const GroupedMatmulArguments& arguments) {
  SS_TRY_VOID(with_tile_kernel(arguments.tiles, arguments.weights.encoding, arguments.quantized_x != nullptr,
                               [&]<MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>() {
                                 return launch_for<kTiles, kEncoding, kQuantized>(context, arguments);
                               }));
  if (arguments.share == nullptr) return {};
  return launch(context.stream, "combine_experts", combine_experts_kernel,
                {.grid = {static_cast<std::uint32_t>(ceil_divide(arguments.n_expert_rows, kThreads)),
                          static_cast<std::uint32_t>(arguments.max_rows)},
                 .threads = kThreads},
                arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
