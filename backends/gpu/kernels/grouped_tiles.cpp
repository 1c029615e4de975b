// The products of a mixture's experts for many tokens, by tiles of the matrix cores (matmul_tile.h). First rows are
// grouped, so that every expert has tiles of its own, as in MegaBlocks (arXiv:2211.15841) and in vLLM's
// moe_align_block_size. Then a block makes one such tile, its lines of x gathered by the list and its weight the
// expert's; blocks beyond the tiles that there are end at once, for the host does not know their number. The second
// product leaves its rows apart, and a last kernel adds up each token's in the order of its slots, so that results
// never depend on who was first.

#include "core/checked.h"
#include "gpu/kernels/epilogue.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/matmul_tile.h"
#include "gpu/portable/launch.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kThreads = 256;

struct GroupShared {
  int n_rows[kMaxExperts];  ///< of each expert
  BlockScratch<int> scratch;
};

/// A block an expert: it counts everybody's rows to know where its own begin, and lists those.
template <int kTileRows>
SS_KERNEL(kThreads)
group_rows_kernel(GroupedMatmulArguments a) {
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
  // Each thread looks through a piece of the rows, so that the list keeps their order.
  const int n_piece = (n_rows + kThreads - 1) / kThreads;
  const int begin = thread_x() * n_piece;
  const int end = begin + n_piece < n_rows ? begin + n_piece : n_rows;
  int n_mine = 0;
  for (int row = begin; row < end; ++row) n_mine += a.expert[row] == own ? 1 : 0;
  std::int32_t* const list = a.by_expert.rows + std::int64_t{first_tile} * kTileRows;
  int at = sum_before(n_mine, shared.scratch);
  for (int row = begin; row < end; ++row) {
    if (a.expert[row] == own) list[at++] = row;
  }
  for (int line = shared.n_rows[own] + thread_x(); line < n_own_tiles * kTileRows; line += kThreads) list[line] = -1;
  for (int tile = thread_x(); tile < n_own_tiles; tile += kThreads) a.by_expert.experts[first_tile + tile] = own;
  if (own == a.n_experts - 1 && thread_x() == 0) *a.by_expert.n_tiles = first_tile + n_own_tiles;
}

/// The rows of x that the lines of a tile are, looked up once: a thread brings the same lines in every step.
template <int kUnits>
struct ListedRows {
  int held[kUnits];
  SS_DEVICE int of(int u, int) const { return held[u]; }
};

/// The rows of one expert.
template <WeightEncoding kEncoding>
SS_DEVICE WeightView weight_of(const GroupedMatmulArguments& a, int expert) {
  WeightView weight = a.weights;
  const std::int64_t first = std::int64_t{expert} * a.n_expert_rows;
  weight.n_rows = a.n_expert_rows;
  weight.values += first * weight.row_bytes;
  if constexpr (kEncoding == WeightEncoding::kInt8PerRow) weight.row_scales += first;
  if constexpr (kHasGroups<kEncoding>) {
    weight.group_scales += first * (weight.padded_cols / static_cast<int>(kScaleGroupSize));
  }
  return weight;
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
SS_DEVICE void make_expert_tile(const GroupedMatmulArguments& a) {
  using Shape = ShapeOf<kTiles>;
  using OfX = CarrierOfX<Shape, kQuantized>;
  const int tile = block_x();
  if (tile >= *a.by_expert.n_tiles) return;
  const std::int32_t* const list = a.by_expert.rows + std::int64_t{tile} * Shape::kRows;
  const bool is_second = a.share != nullptr;
  const auto row_of_x = [&](int row) { return is_second || row < 0 ? row : row / a.n_top; };
  ListedRows<OfX::kUnits> x_rows;
  SS_UNROLL
  for (int u = 0; u < OfX::kUnits; ++u) {
    const int line = (thread_x() + u * OfX::kThreads) / Shape::kUnitsOfLine;
    x_rows.held[u] = line < Shape::kRows ? row_of_x(list[line]) : -1;
  }
  const WeightView weight = weight_of<kEncoding>(a, a.by_expert.experts[tile]);
  const bool in_pairs = is_gated(a.epilogue);
  const int n_outputs = in_pairs ? a.n_expert_rows / 2 : a.n_expert_rows;
  const void* const x = kQuantized ? static_cast<const void*>(a.quantized_x) : a.narrow_x;
  const auto scale_of = [&](int row, int output) {
    const float x_scale = kQuantized ? a.x_scales[row_of_x(row)] : 1.0F;
    return kEncoding == WeightEncoding::kInt8PerRow ? x_scale * weight.row_scales[output] : x_scale;
  };
  make_tile<kTiles, kEncoding, kQuantized>(
      x, x_rows, weight, block_y() * Shape::kCols, {0, steps_of<Shape, kQuantized>(weight)}, in_pairs,
      [&](int line, int output, const auto* sums) {
        const int row = list[line];
        if (row < 0) return;  // a filler
        const auto scaled = [&](int j) { return static_cast<float>(sums[j]) * scale_of(row, output + j); };
        const std::int64_t begin = std::int64_t{row} * n_outputs;
        if (is_second) {
          a.partial[begin + output] = scaled(0);
        } else if (in_pairs) {
          a.out[begin + output / 2] = gated(a.epilogue, scaled(0), scaled(1));
        } else {
          a.out[begin + output] = scaled(0);
        }
      });
}

template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
SS_KERNEL(ShapeOf<kTiles>::kWarps* kWarpSize)
grouped_tiles_kernel(GroupedMatmulArguments a) {
  // The host launches tiles of warpgroups where the device has them, and nowhere else.
  if constexpr (kHasWarpgroups || !ShapeOf<kTiles>::kByWarpgroups) {
    make_expert_tile<kTiles, kEncoding, kQuantized>(a);
  }
}

/// Adds up each token's experts, always in the same order.
SS_KERNEL(kThreads) combine_experts_kernel(GroupedMatmulArguments a) {
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
  using Shape = ShapeOf<kTiles>;
  SS_TRY_VOID(launch(
      context.stream, "group_rows", group_rows_kernel<Shape::kRows>,
      {.grid = {static_cast<std::uint32_t>(a.n_experts)}, .threads = kThreads, .shared_bytes = sizeof(GroupShared)},
      a));
  return launch(context.stream, "grouped_tiles", grouped_tiles_kernel<kTiles, kEncoding, kQuantized>,
                {.grid = {static_cast<std::uint32_t>(a.by_expert.max_tiles),
                          static_cast<std::uint32_t>(ceil_divide(a.n_expert_rows, Shape::kCols))},
                 .threads = static_cast<std::uint32_t>(Shape::kWarps * context.warp_size),
                 .shared_bytes = sizeof(TileShared<Shape, kScalesGroups<kEncoding, kQuantized>>)},
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
