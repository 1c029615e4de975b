#include "cpu/matmul.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend_kit/workspace_plan.h"
#include "core/check.h"
#include "core/checked.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "cpu/cpu_features.h"
#include "cpu/tile_packing.h"

namespace secondsource::cpu {
namespace {

// A panel is the tiles that are multiplied with all rows, block by block, before the next tiles. With several row blocks it has two tiles,
// or with many rows as many as fit in a quarter of the second-level cache, because every panel fetches all activations from the third-level
// cache again. The other three quarters are for a row block, for prefetched data, for sums, and for a neighbour on the same core: half of
// the cache was 2 to 4 % faster on an idle Cascade Lake and up to 10 % slower on a busy one (2026-11-21).
constexpr std::int64_t kMaxPanelTiles = 8;
constexpr std::int64_t kCacheShare = 4;
// With fewer panels per thread, too many threads would have no work at the end.
constexpr std::int64_t kPanelsPerThread = 8;

static_assert(kClampedSwishLimit == kClampedSwish.limit && kClampedSwishAlpha == kClampedSwish.alpha,
              "the kernels' constants are those of the boundary");

Finish finish_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kNone:
      return Finish::kNone;
    case Epilogue::kBias:
      return Finish::kBias;
    case Epilogue::kGelu:
      return Finish::kGelu;
    case Epilogue::kAddResidual:
      return Finish::kAdd;
    case Epilogue::kGatedSilu:
      return Finish::kGatedSilu;
    case Epilogue::kGatedGelu:
      return Finish::kGatedGelu;
    case Epilogue::kGatedClampedSwish:
      return Finish::kGatedClampedSwish;
  }
  return Finish::kNone;
}

/// Quantizes the values of one row or group to E4M3 or INT8 and multiplies them by the scale again. The scale is computed from the values,
/// or is the stored one, `act_scale`.
void quantize_values(std::span<const float> x, ActQuant act, float act_scale, std::span<float> out) {
  const bool is_fp8 = has_fp8_values(act);
  const float least_integer = act == ActQuant::kInt8Static ? -128.0F : -127.0F;
  float largest = 0.0F;
  for (const float value : x) {
    if (std::fabs(value) > largest || std::isnan(value)) largest = std::fabs(value);
  }
  float scale = largest / (is_fp8 ? kE4m3Max : 127.0F);
  if (act == ActQuant::kFp8PerGroup128E8m0) scale = round_up_to_power_of_two(scale);
  if (has_stored_scale(act)) scale = std::isfinite(largest) ? act_scale : std::numeric_limits<float>::quiet_NaN();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float quotient = scale == 0.0F ? 0.0F : x[i] / scale;
    out[i] = scale * (is_fp8 ? round_to_e4m3(quotient) : std::clamp(std::nearbyint(quotient), least_integer, 127.0F));
  }
}

/// Quantizes the values of 16 columns to NVFP4 and multiplies them by their scales again. `act_scale` is the stored scale g, or NaN where
/// the row is not finite.
void quantize_to_nvfp4(std::span<const float> x, float act_scale, std::span<float> out) {
  float largest = 0.0F;
  for (const float value : x) largest = std::max(largest, std::fabs(value));
  const float scale = round_to_e4m3(largest / kE2m1Max / act_scale);
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = scale == 0.0F ? 0.0F : (scale * round_to_e2m1(x[i] / (scale * act_scale))) * act_scale;
  }
}

/// How many tiles a panel has for many rows. tile_bytes: the size of a tile in the form in which it is multiplied.
std::int64_t panel_tiles_for(std::int64_t tile_bytes, std::int64_t n_tiles, int n_threads) {
  std::int64_t n = std::clamp(second_level_cache_bytes() / kCacheShare / tile_bytes, kTilePair, kMaxPanelTiles);
  n -= n % kTilePair;
  while (n > kTilePair && n_tiles < n * kPanelsPerThread * n_threads) n -= kTilePair;
  return n;
}

}  // namespace

ScratchNeed MatmulRunner::scratch_need(const Matmul& op, const StepGraph& graph, const Bucket& bucket) const {
  const PackedWeight& weight = weights_.at(op.weight);
  const std::int64_t most_rows = max_rows(graph.values[static_cast<std::size_t>(index_of(op.x))].rows, bucket);
  ScratchNeed need;
  for (const std::int64_t n_rows : row_counts_of_scratch(table_, product_of(weight.spec.encoding, op.act), most_rows)) {
    const Plan plan = make_plan(op, weight, n_rows);
    const auto k =
        static_cast<std::size_t>(weight.is_vector ? weight.spec.n_cols : packed_columns(weight.k_padded, plan.kernel));
    need.activations = std::max(need.activations, activation_bytes(n_rows, k * bytes_of(plan.kernel.act)));
    need.per_thread = std::max({need.per_thread, ScratchCutter::bytes_for<float>(weight.is_vector ? k : 0),
                                plan.in_blocks ? block_product(plan, weight, n_rows).scratch_bytes()
                                               : ScratchCutter::bytes_for<std::byte>(panel_bytes(plan, weight)) +
                                                     ScratchCutter::bytes_for<float>(pass_sums(plan, n_rows))});
  }
  return need;
}

std::string MatmulRunner::kernel_name(const Matmul& op, std::int64_t n_rows) const {
  const PackedWeight& weight = weights_.at(op.weight);
  if (weight.is_vector) return fmt::format("matmul_vector_f32_{}", table_.isa);
  const Plan plan = make_plan(op, weight, n_rows);
  return fmt::format("{}{}_{}", unpacked_from(weight, plan.unpacking), plan.kernel.name, isa_of(plan.kernel, table_));
}

MatmulRunner::Plan MatmulRunner::make_plan(const Matmul& op, const PackedWeight& weight, std::int64_t n_rows) const {
  const Product product = product_of(weight.spec.encoding, op.act);
  const bool is_many = n_rows >= kUnpackFromRows && !weight.is_vector;
  Unpacking unpacking{.into = product};
  const Unpacking& of_table = table_.unpack[int(product)];
  if (n_rows >= of_table.from_rows && !weight.is_vector && of_table.unpack != nullptr) unpacking = of_table;
  Plan plan{.kernel = kernel_of(table_, unpacking.into, op.act, n_rows), .unpacking = unpacking};
  const bool has_several_blocks = n_rows > plan.kernel.max_rows;
  plan.in_blocks = !weight.is_vector && BlockProduct::takes(plan.kernel, unpacking, n_rows);
  // Outputs that are too large to stay in the cache until the next operation would displace the activations, and reading their lines before
  // they are written takes as much of the memory's time as writing them. With a residual, the lines have been read anyway.
  plan.writes_past_caches = plan.in_blocks && op.epilogue != Epilogue::kAddResidual &&
                            n_rows * weight.spec.n_rows * std::int64_t{sizeof(float)} > second_level_cache_bytes();
  plan.is_many = is_many;
  plan.in_passes = (is_many || unpacking.unpack != nullptr) && unpacking.into == Product::kF32;
  plan.panel_tiles = n_rows == 1 ? kOneRowTiles : has_several_blocks ? kTilePair : kMaxPanelTiles;
  if (is_many || plan.in_passes) {
    plan.panel_tiles = panel_tiles_for(multiplied_tile_bytes(plan, weight), weight.n_tiles, pool_.n_threads());
  }
  return plan;
}

std::int64_t MatmulRunner::multiplied_tile_bytes(const Plan& plan, const PackedWeight& weight) {
  if (!plan.in_passes && plan.unpacking.unpack == nullptr) return weight.tile_bytes;
  const std::int64_t n_columns = plan.in_passes ? std::min(kPassColumns, weight.k_padded) : weight.k_padded;
  return unpacked_bytes(plan.unpacking.into, n_columns);
}

std::size_t MatmulRunner::panel_bytes(const Plan& plan, const PackedWeight& weight) {
  if (plan.unpacking.unpack == nullptr) return 0;
  return static_cast<std::size_t>(plan.panel_tiles * multiplied_tile_bytes(plan, weight));
}

std::size_t MatmulRunner::pass_sums(const Plan& plan, std::int64_t n_rows) {
  return plan.in_passes ? static_cast<std::size_t>(n_rows * plan.panel_tiles * kTileRows) : 0;
}

void MatmulRunner::pack_activations(const MatrixView<float>& x, const Call& call) {
  const ProductKernel& kernel = call.plan.kernel;
  const std::int64_t k_padded = packed_columns(call.weight.k_padded, kernel);
  const auto n_rows = static_cast<int>(x.rows());
  const std::size_t row_bytes = static_cast<std::size_t>(k_padded) * bytes_of(kernel.act);
  const auto pack = [&](std::int64_t block, int /*thread*/) {
    const int first = row_block_begin(n_rows, kernel.max_rows, static_cast<int>(block));
    const int end = row_block_begin(n_rows, kernel.max_rows, static_cast<int>(block) + 1);
    table_.pack({.x = x.data() + first * x.stride(),
                 .x_stride = x.stride(),
                 .n_rows = end - first,
                 .k = x.cols(),
                 .k_padded = k_padded,
                 .vec = kernel.vec,
                 .act = kernel.act,
                 .static_scale = call.op.act_scale,
                 .out = call.activations.rows + static_cast<std::size_t>(first) * row_bytes,
                 .row_scales = call.activations.row_scales + first});
  };
  const int n_blocks = n_row_blocks(n_rows, kernel.max_rows);
  // Packing fewer values takes less time than waking other threads.
  constexpr std::int64_t kSerialValues = 32768;
  if (x.rows() * k_padded <= kSerialValues) {
    for (int block = 0; block < n_blocks; ++block) pack(block, 0);
  } else {
    pool_.run(n_blocks, pack);
  }
}

RowBlock MatmulRunner::row_block(const Call& call, int block) {
  return packed_row_block(call.plan.kernel, call.weight.k_padded, call.activations.rows, call.n_rows, block);
}

void MatmulRunner::prefetch_outputs(const Call& call, const Panel& panel, const RowBlock& block) {
  constexpr int kToWrite = 1;
  constexpr std::int64_t kLineFloats = 16;
  const std::int64_t tiles_per_column = call.weight.tiles_per_column();
  const std::int64_t column = panel.first_tile / tiles_per_column * kTileRows;
  const std::int64_t end = std::min(call.out.cols(), column + panel.n_tiles / tiles_per_column * kTileRows);
  for (int row = block.first; row < block.first + block.n_rows; ++row) {
    const float* const values = call.out.data() + row * call.out.stride();
    for (std::int64_t i = column; i < end; i += kLineFloats) __builtin_prefetch(values + i, kToWrite);
  }
}

void MatmulRunner::finish_block(const Call& call, const TileSums& sums, const RowBlock& block) const {
  const PackedWeight& weight = call.weight;
  const MatrixView<float>& out = call.out;
  const std::int64_t tiles_per_column = weight.tiles_per_column();
  const std::int64_t column = sums.first_tile / tiles_per_column * kTileRows;
  FinishArgs finish{
      .c = sums.c,
      .c_stride = sums.c_stride,
      .n_rows = block.n_rows,
      .n_cols = std::min(sums.n_tiles / tiles_per_column * kTileRows, out.cols() - column),
      .out = out.data() + block.first * out.stride() + column,
      .out_stride = out.stride(),
      .weight_scales = weight.scales.empty() ? nullptr : weight.scales.data() + sums.first_tile * kTileRows,
      .row_scales = has_row_scale(call.plan.kernel.act) ? call.activations.row_scales + block.first : nullptr,
      .finish = finish_of(call.op.epilogue),
      .softcap = call.op.softcap,
      .past_caches = call.plan.writes_past_caches};
  if (call.op.bias) finish.bias = weights_.at(*call.op.bias).vector.data() + column;
  if (call.op.bias && is_gated(call.op.epilogue)) finish.up_bias = finish.bias + out.cols();
  if (call.aux) {
    finish.aux = call.aux->data() + block.first * call.aux->stride() + column;
    finish.aux_stride = call.aux->stride();
  }
  table_.finish(finish);
}

void MatmulRunner::multiply_panel(const Call& call, const Panel& panel, RowBlocks blocks, int thread) const {
  const PackedWeight& weight = call.weight;
  const std::int64_t first_tile = panel.first_tile;
  const std::int64_t n_tiles = panel.n_tiles;
  ScratchCutter cutter(scratch_.of_thread(thread));
  const std::span<std::byte> unpacked = cutter.take<std::byte>(panel_bytes(call.plan, weight));
  const Tiles tiles =
      unpack_tiles(call.plan.unpacking, {weight.tiles + first_tile * weight.tile_bytes, weight.tile_bytes}, n_tiles,
                   weight.k_padded, unpacked);
  alignas(64) float sums[kMaxRowBlock * kMaxPanelTiles * kTileRows];
  static_assert(kOneRowTiles <= kMaxRowBlock * kMaxPanelTiles);
  // The row blocks together prefetch all of the next tiles. If the first block prefetched them alone, it would wait for
  // memory, which would then be idle while the others multiply.
  const std::int64_t n_blocks = blocks.end - blocks.first;
  const std::int64_t n_next = std::min(n_tiles, weight.n_tiles - first_tile - n_tiles);
  const std::int64_t n_steps = packed_columns(weight.k_padded, call.plan.kernel) / call.plan.kernel.vec;
  const std::int64_t step_bytes = n_blocks <= 1 ? 0 : ceil_divide(n_next * weight.tile_bytes, n_blocks * n_steps);
  const std::byte* next_tiles = weight.tiles + (first_tile + n_tiles) * weight.tile_bytes;
  for (int index = blocks.first; index < blocks.end; ++index) {
    const RowBlock block = row_block(call, index);
    TileArgs args{.a = block.activations,
                  .n_rows = block.n_rows,
                  .tiles = tiles.first,
                  .tile_bytes = tiles.tile_bytes,
                  .n_tiles = n_tiles,
                  .k = weight.k_padded,
                  .c = sums,
                  .c_stride = n_tiles * kTileRows,
                  .row_sums = weight.row_sums.empty() ? nullptr : weight.row_sums.data() + first_tile * kTileRows,
                  .next_tiles = step_bytes > 0 ? next_tiles : nullptr,
                  .next_tiles_step = step_bytes};
    next_tiles += step_bytes * n_steps;
    if (call.plan.is_many) {
      args.next_a = row_block(call, index + 1 < blocks.end ? index + 1 : blocks.first).activations;
    }
    if (call.n_rows > 1) prefetch_outputs(call, panel, block);
    call.plan.kernel.multiply(args);
    finish_block(call, {sums, first_tile, n_tiles, n_tiles * kTileRows}, block);
  }
}

void MatmulRunner::multiply_in_passes(const Call& call, const Panel& panel, RowBlocks blocks, int thread) const {
  const PackedWeight& weight = call.weight;
  const std::int64_t first_tile = panel.first_tile;
  const std::int64_t n_tiles = panel.n_tiles;
  const std::int64_t c_stride = n_tiles * kTileRows;
  const TileLayout layout = tile_layout(weight.spec.encoding);
  ScratchCutter cutter(scratch_.of_thread(thread));
  const std::span<std::byte> unpacked = cutter.take<std::byte>(panel_bytes(call.plan, weight));
  const std::span<float> sums = cutter.take<float>(pass_sums(call.plan, call.n_rows));
  const auto activations_of = [&](const RowBlock& block, std::int64_t k) {
    return block.activations + static_cast<std::size_t>(k * block.n_rows) * sizeof(float);
  };
  for (std::int64_t k = 0; k < weight.k_padded; k += kPassColumns) {
    const std::int64_t n_columns = std::min(kPassColumns, weight.k_padded - k);
    const std::byte* const from =
        weight.tiles + first_tile * weight.tile_bytes + k / layout.k_multiple * layout.bytes_per_multiple;
    const Tiles tiles = unpack_tiles(call.plan.unpacking, {from, weight.tile_bytes}, n_tiles, n_columns, unpacked);
    const bool is_last_pass = k + n_columns == weight.k_padded;
    for (int index = blocks.first; index < blocks.end; ++index) {
      const RowBlock block = row_block(call, index);
      const bool is_last_block = index + 1 == blocks.end;
      const RowBlock next = row_block(call, is_last_block ? blocks.first : index + 1);
      const std::int64_t next_k = !is_last_block ? k : is_last_pass ? 0 : k + n_columns;
      float* const c = sums.data() + block.first * c_stride;
      if (is_last_pass) prefetch_outputs(call, panel, block);
      call.plan.kernel.multiply({.a = activations_of(block, k),
                                 .n_rows = block.n_rows,
                                 .tiles = tiles.first,
                                 .tile_bytes = tiles.tile_bytes,
                                 .n_tiles = n_tiles,
                                 .k = n_columns,
                                 .c = c,
                                 .c_stride = c_stride,
                                 .accumulate = k > 0,
                                 .next_a = activations_of(next, next_k)});
      if (is_last_pass) finish_block(call, {c, first_tile, n_tiles, c_stride}, block);
    }
  }
}

void MatmulRunner::order_weights(const StepGraph& graph) {
  std::vector<std::int32_t> order;
  for (const Op& op : graph.ops) {
    const auto* const matmul = std::get_if<Matmul>(&op);
    if (matmul != nullptr && !weights_.at(matmul->weight).is_vector) order.push_back(index_of(matmul->weight));
  }
  next_weight_.resize(weights_.specs().size(), -1);
  for (std::size_t i = 0; i < order.size(); ++i) {
    next_weight_[static_cast<std::size_t>(order[i])] = order[(i + 1) % order.size()];
  }
}

NextStream MatmulRunner::stream_after(WeightId weight) const {
  const std::int32_t next = next_weight_[static_cast<std::size_t>(index_of(weight))];
  if (next < 0) return {};
  const PackedWeight& tiles = weights_.at(WeightId{next});
  const std::int64_t slice = slice_items(tiles.n_tiles, tiles.tile_bytes, pool_.n_threads());
  return {tiles.tiles, tiles.tile_bytes, tiles.n_tiles, threads_of_loop(tiles.n_tiles, slice, pool_.n_threads())};
}

void MatmulRunner::run(const Matmul& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const PackedWeight& weight = weights_.at(op.weight);
  if (x.rows() == 0) return;
  if (weight.is_vector) {
    run_vector(op, weight, frame);
    return;
  }
  const Plan plan = make_plan(op, weight, x.rows());
  SS_CHECK(weight.k_padded % plan.kernel.k_multiple == 0, "a weight's padding fits its kernel");
  Call call{.op = op,
            .weight = weight,
            .plan = plan,
            .activations = place_activations(scratch_.activations(), x.rows()),
            .n_rows = x.rows(),
            .out = frame.value(op.out),
            .aux = {}};
  if (op.aux) call.aux = frame.value(*op.aux);
  pack_activations(x, call);
  if (plan.in_blocks) {
    run_in_blocks(call);
    return;
  }
  const int n_blocks = n_row_blocks(x.rows(), plan.kernel.max_rows);
  const auto multiply_tiles = [&](std::int64_t first_tile, std::int64_t end_tile, RowBlocks blocks, int thread) {
    for (std::int64_t tile = first_tile; tile < end_tile; tile += plan.panel_tiles) {
      const Panel panel{tile, std::min(plan.panel_tiles, end_tile - tile)};
      if (plan.in_passes) {
        multiply_in_passes(call, panel, blocks, thread);
      } else {
        multiply_panel(call, panel, blocks, thread);
      }
    }
  };
  const std::int64_t n_threads = pool_.n_threads();
  if (n_blocks == 1) {
    // The product is limited by memory, so each thread reads one stream. An item is two tiles where gate and up are finished together, and
    // where several rows are multiplied with pairs of tiles.
    const std::int64_t item_tiles = x.rows() == 1 ? weight.tiles_per_column() : kTilePair;
    const std::int64_t item_bytes = item_tiles * weight.tile_bytes;
    const std::int64_t n_items = ceil_divide(weight.n_tiles, item_tiles);
    pool_.announce_next(stream_after(op.weight));
    pool_.run_ranges(n_items, slice_items(n_items, item_bytes, n_threads),
                     [&](std::int64_t first, std::int64_t end, int thread) {
                       multiply_tiles(first * item_tiles, std::min(weight.n_tiles, end * item_tiles), {0, 1}, thread);
                     });
    return;
  }
  // With many rows even a panel of two tiles is a long chunk. If there are few tiles, the rows are divided as well.
  const std::int64_t n_panels = ceil_divide(weight.n_tiles, plan.panel_tiles);
  const std::int64_t n_groups =
      std::clamp<std::int64_t>(ceil_divide(4 * n_threads, n_panels), 1, std::max(1, n_blocks / 4));
  pool_.run(n_panels * n_groups, [&](std::int64_t chunk, int thread) {
    const std::int64_t first_tile = chunk / n_groups * plan.panel_tiles;
    const std::int64_t group = chunk % n_groups;
    multiply_tiles(first_tile, std::min(weight.n_tiles, first_tile + plan.panel_tiles),
                   {static_cast<int>(group * n_blocks / n_groups), static_cast<int>((group + 1) * n_blocks / n_groups)},
                   thread);
  });
}

BlockProduct MatmulRunner::block_product(const Plan& plan, const PackedWeight& weight, std::int64_t n_rows) const {
  return {plan.kernel,
          plan.unpacking,
          {.tiles = weight.tiles,
           .tile_bytes = weight.tile_bytes,
           .n_tiles = weight.n_tiles,
           .k_padded = weight.k_padded,
           .row_sums = weight.row_sums.data()},
          n_rows,
          pool_.n_threads()};
}

void MatmulRunner::run_in_blocks(const Call& call) {
  const BlockProduct product = block_product(call.plan, call.weight, call.n_rows);
  const BlockCut& cut = product.cut();
  const std::int64_t n_tiles = call.weight.n_tiles;
  BlockProduct::Epilogue epilogue{
      .finish = [&](const TileSums& sums, const RowBlock& block) { finish_block(call, sums, block); }};
  if (!call.plan.writes_past_caches) {
    epilogue.outputs = call.out.data();
    epilogue.output_stride = call.out.stride();
    epilogue.columns_of_pair = kTilePair / call.weight.tiles_per_column() * kTileRows;
  }
  const auto multiply = [&](const Panel& panel, int group, int thread) {
    product.multiply(call.activations.rows, group, panel.first_tile, panel.n_tiles,
                     ScratchCutter(scratch_.of_thread(thread)), epilogue);
  };
  if (cut.n_blocks == 1) {
    // The product is limited by memory, so each thread reads one stream, as in run().
    const std::int64_t n_pairs = ceil_divide(n_tiles, kTilePair);
    pool_.announce_next(stream_after(call.op.weight));
    pool_.run_ranges(n_pairs, slice_items(n_pairs, kTilePair * call.weight.tile_bytes, pool_.n_threads()),
                     [&](std::int64_t first, std::int64_t end, int thread) {
                       const std::int64_t end_tile = std::min(n_tiles, end * kTilePair);
                       for (std::int64_t tile = first * kTilePair; tile < end_tile; tile += kSlicedPanelTiles) {
                         multiply({tile, std::min(kSlicedPanelTiles, end_tile - tile)}, 0, thread);
                       }
                     });
    return;
  }
  const std::int64_t n_panels = ceil_divide(n_tiles, cut.panel_tiles);
  // Chunks are numbered group by group, so that a thread's range has as few groups as possible and their activations stay in its cache.
  pool_.run(n_panels * cut.n_groups, [&](std::int64_t chunk, int thread) {
    const std::int64_t first_tile = chunk % n_panels * cut.panel_tiles;
    multiply({first_tile, std::min(cut.panel_tiles, n_tiles - first_tile)}, static_cast<int>(chunk / n_panels), thread);
  });
}

void MatmulRunner::run_vector(const Matmul& op, const PackedWeight& weight, const HostFrame& frame) const {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const auto k = static_cast<std::size_t>(x.cols());
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    std::span<const float> inputs = x.row(row);
    if (op.act != ActQuant::kNone) {
      const std::span<float> rounded = ScratchCutter(scratch_.of_thread(0)).take<float>(k);
      const bool is_nvfp4 = op.act == ActQuant::kNvfp4Static;
      const std::size_t group = is_nvfp4                 ? static_cast<std::size_t>(kNvfp4GroupSize)
                                : has_fp8_groups(op.act) ? static_cast<std::size_t>(kFp8GroupSize)
                                                         : k;
      const bool is_finite = std::ranges::all_of(inputs, [](float value) { return std::isfinite(value); });
      for (std::size_t first = 0; first < k; first += group) {
        const std::size_t n = std::min(group, k - first);
        if (is_nvfp4) {
          const float scale = is_finite ? op.act_scale : std::numeric_limits<float>::quiet_NaN();
          quantize_to_nvfp4(inputs.subspan(first, n), scale, rounded.subspan(first, n));
          continue;
        }
        quantize_values(inputs.subspan(first, n), op.act, op.act_scale, rounded.subspan(first, n));
      }
      inputs = rounded;
    }
    const float sum = table_.dot(inputs.data(), weight.vector.data(), x.cols());
    FinishArgs finish{.c = nullptr, .n_rows = 1, .n_cols = 1, .out = out.row(row).data()};
    alignas(64) float sums[kTileRows] = {sum};
    finish.c = sums;
    finish.finish = finish_of(op.epilogue);
    finish.softcap = op.softcap;
    if (op.bias) finish.bias = weights_.at(*op.bias).vector.data();
    if (op.aux) finish.aux = frame.value(*op.aux).row(row).data();
    table_.finish(finish);
  }
}

}  // namespace secondsource::cpu
