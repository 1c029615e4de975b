// Matmul: packs the activations once, then every thread streams its own range of weight tiles. One packed copy of a
// weight serves one row and many: tiles are read from memory once and multiplied with every block of rows while they
// are in the cache.

#include <algorithm>
#include <cmath>

#include "backend_kit/workspace_plan.h"
#include "core/check.h"
#include "core/checked.h"
#include "cpu/cpu_features.h"
#include "cpu/kernels.h"
#include "cpu/product_pieces.h"
#include "cpu/tile_packing.h"

namespace secondsource::cpu {
namespace {

// Tiles that meet all rows, block by block, before the next ones: the two that the kernel takes at once, or with many
// rows as many as a quarter of the second-level cache holds, since every such panel brings all activations from the
// third again. The rest is for a block of rows, for what is asked for ahead, for sums, and for a neighbour on the same
// core: half of it was 2 to 4 % faster on an idle Cascade Lake, and up to 10 % slower on a busy one (2026-11-21).
constexpr std::int64_t kMaxPanelTiles = 8;
constexpr std::int64_t kCacheShare = 4;
// With fewer chunks of that for each thread, the last ones would leave too many without work.
constexpr std::int64_t kPanelsPerThread = 8;

std::size_t bytes_of(ActType act) {
  return static_cast<std::size_t>(act_bytes(act));
}

Finish finish_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kNone:
      return Finish::kNone;
    case Epilogue::kBias:
      return Finish::kBias;
    case Epilogue::kAddResidual:
      return Finish::kAdd;
    case Epilogue::kGatedSilu:
      return Finish::kGatedSilu;
    case Epilogue::kGatedGelu:
      return Finish::kGatedGelu;
  }
  return Finish::kNone;
}

int n_row_blocks(std::int64_t n_rows, int max_rows) {
  return static_cast<int>(ceil_divide<std::int64_t>(n_rows, max_rows));
}

}  // namespace

Product product_of(WeightEncoding encoding, ActQuant act) {
  switch (encoding) {
    case WeightEncoding::kF32:
      return Product::kF32;
    case WeightEncoding::kBf16:
      return Product::kBf16;
    case WeightEncoding::kF16:
      return Product::kF16;
    case WeightEncoding::kInt8PerRow:
      return act == ActQuant::kInt8PerRow ? Product::kInt8Quantized : Product::kInt8;
    case WeightEncoding::kInt8Group32:
      return act == ActQuant::kInt8PerRow ? Product::kInt8GroupQuantized : Product::kInt8Group;
    case WeightEncoding::kInt4Group32:
      return Product::kInt4;
  }
  return Product::kF32;
}

std::int64_t unpacked_column_bytes(Product into) {
  if (into == Product::kInt8GroupOffset) return kOffsetGroupBytes / kGroupColumns;
  return kTileRows * (into == Product::kF32 ? 4 : 2);
}

namespace {

/// Tiles of a panel for many rows, by the bytes that one has when it is multiplied.
std::int64_t panel_tiles_for(std::int64_t tile_bytes, std::int64_t n_tiles, int n_threads) {
  std::int64_t n = std::clamp(second_level_cache_bytes() / kCacheShare / tile_bytes, kTilePair, kMaxPanelTiles);
  n -= n % kTilePair;
  while (n > kTilePair && n_tiles < n * kPanelsPerThread * n_threads) n -= kTilePair;
  return n;
}

/// Columns of packed activations: the weight's, padded to whole units of the kernel.
std::int64_t packed_columns(const PackedWeight& weight, const ProductKernel& kernel) {
  return round_up<std::int64_t>(weight.k_padded, kernel.unit);
}

}  // namespace

ScratchNeed CpuKernels::matmul_need(const Matmul& op, const StepGraph& graph, const Bucket& bucket) const {
  const PackedWeight& weight = weights_.at(op.weight);
  const std::int64_t most_rows = max_rows(graph.values[static_cast<std::size_t>(index_of(op.x))].rows, bucket);
  ScratchNeed need;
  // A step of fewer rows than its bucket may take the other kernel.
  for (const std::int64_t n_rows : {std::int64_t{1}, most_rows}) {
    const MatmulPlan plan = plan_matmul(op, weight, n_rows);
    const auto k =
        static_cast<std::size_t>(weight.is_vector ? weight.spec.n_cols : packed_columns(weight, plan.kernel));
    need.activations = std::max(need.activations, row_scales_bytes(most_rows) + static_cast<std::size_t>(most_rows) *
                                                                                    k * bytes_of(plan.kernel.act));
    need.per_thread = std::max({need.per_thread, ScratchCutter::size_of_piece<float>(weight.is_vector ? k : 0),
                                ScratchCutter::size_of_piece<std::byte>(panel_bytes(plan, weight)) +
                                    ScratchCutter::size_of_piece<float>(pass_sums(plan, n_rows))});
  }
  return need;
}

CpuKernels::MatmulPlan CpuKernels::plan_matmul(const Matmul& op, const PackedWeight& weight,
                                               std::int64_t n_rows) const {
  const Product product = product_of(weight.spec.encoding, op.act);
  const bool is_many = n_rows >= kUnpackFromRows && !weight.is_vector;
  Unpacking unpacking{.into = product};
  if (is_many && table_.unpack[int(product)].unpack != nullptr) unpacking = table_.unpack[int(product)];
  MatmulPlan plan{.kernel = table_.products[int(unpacking.into)], .unpacking = unpacking};
  plan.is_many = is_many;
  plan.in_passes = is_many && unpacking.into == Product::kF32;
  plan.panel_tiles = n_rows == 1 ? kOneRowTiles : kTilePair;
  if (is_many) {
    plan.panel_tiles = panel_tiles_for(multiplied_tile_bytes(plan, weight), weight.n_tiles, pool_.n_threads());
  }
  return plan;
}

std::int64_t CpuKernels::multiplied_tile_bytes(const MatmulPlan& plan, const PackedWeight& weight) {
  if (!plan.in_passes && plan.unpacking.unpack == nullptr) return weight.tile_bytes;
  const std::int64_t n_columns = plan.in_passes ? std::min(kPassColumns, weight.k_padded) : weight.k_padded;
  return n_columns * unpacked_column_bytes(plan.unpacking.into);
}

std::size_t CpuKernels::panel_bytes(const MatmulPlan& plan, const PackedWeight& weight) {
  if (plan.unpacking.unpack == nullptr) return 0;
  return static_cast<std::size_t>(plan.panel_tiles * multiplied_tile_bytes(plan, weight));
}

std::size_t CpuKernels::pass_sums(const MatmulPlan& plan, std::int64_t n_rows) {
  return plan.in_passes ? static_cast<std::size_t>(n_rows * plan.panel_tiles * kTileRows) : 0;
}

void CpuKernels::pack_activations(const MatrixView<float>& x, const ProductKernel& kernel, std::int64_t k_padded) {
  const auto n_rows = static_cast<int>(x.rows());
  std::byte* const base = scratch_.activations().data();
  const std::size_t row_bytes = static_cast<std::size_t>(k_padded) * bytes_of(kernel.act);
  const auto pack = [&](std::int64_t block, int /*thread*/) {
    const int first = row_block_begin(n_rows, kernel.max_rows, static_cast<int>(block));
    const int end = row_block_begin(n_rows, kernel.max_rows, static_cast<int>(block) + 1);
    table_.pack({.x = x.data() + first * x.stride(),
                 .x_stride = x.stride(),
                 .n_rows = end - first,
                 .k = x.cols(),
                 .k_padded = k_padded,
                 .unit = kernel.unit,
                 .act = kernel.act,
                 .out = base + row_scales_bytes(n_rows) + static_cast<std::size_t>(first) * row_bytes,
                 .row_scales = reinterpret_cast<float*>(base) + first});
  };
  const int n_blocks = n_row_blocks(n_rows, kernel.max_rows);
  constexpr std::int64_t kSerialValues = 32768;
  if (x.rows() * k_padded <= kSerialValues) {
    for (int block = 0; block < n_blocks; ++block) pack(block, 0);
  } else {
    pool_.run(n_blocks, pack);
  }
}

CpuKernels::RowBlock CpuKernels::row_block(const MatmulPlan& plan, const PackedWeight& weight, std::int64_t n_rows,
                                           int block) const {
  const auto all_rows = static_cast<int>(n_rows);
  const int first = row_block_begin(all_rows, plan.kernel.max_rows, block);
  const int end = row_block_begin(all_rows, plan.kernel.max_rows, block + 1);
  const auto row_bytes = static_cast<std::size_t>(packed_columns(weight, plan.kernel)) * bytes_of(plan.kernel.act);
  return {.first = first,
          .n_rows = end - first,
          .activations =
              scratch_.activations().data() + row_scales_bytes(n_rows) + static_cast<std::size_t>(first) * row_bytes};
}

void CpuKernels::ask_for_outputs(const Matmul& op, const PackedWeight& weight, const HostFrame& frame,
                                 std::int64_t first_tile, std::int64_t n_tiles, const RowBlock& block) {
  constexpr int kToWrite = 1;
  constexpr std::int64_t kLineFloats = 16;
  const MatrixView<float> out = frame.value(op.out);
  const std::int64_t tiles_per_column = weight.is_interleaved() ? 2 : 1;
  const std::int64_t column = first_tile / tiles_per_column * kTileRows;
  const std::int64_t end = std::min(out.cols(), column + n_tiles / tiles_per_column * kTileRows);
  for (int row = block.first; row < block.first + block.n_rows; ++row) {
    const float* const values = out.data() + row * out.stride();
    for (std::int64_t i = column; i < end; i += kLineFloats) __builtin_prefetch(values + i, kToWrite);
  }
}

void CpuKernels::finish_block(const Matmul& op, const PackedWeight& weight, const HostFrame& frame,
                              const TileSums& sums, const RowBlock& block) {
  const MatrixView<float> out = frame.value(op.out);
  const bool quantized = op.act == ActQuant::kInt8PerRow;
  const std::int64_t tiles_per_column = weight.is_interleaved() ? 2 : 1;
  const std::int64_t column = sums.first_tile / tiles_per_column * kTileRows;
  const auto* const row_scales = reinterpret_cast<const float*>(scratch_.activations().data());
  FinishArgs finish{
      .c = sums.c,
      .c_stride = sums.n_tiles * kTileRows,
      .n_rows = block.n_rows,
      .n_cols = std::min(sums.n_tiles / tiles_per_column * kTileRows, out.cols() - column),
      .out = out.data() + block.first * out.stride() + column,
      .out_stride = out.stride(),
      .weight_scales = weight.scales.empty() ? nullptr : weight.scales.data() + sums.first_tile * kTileRows,
      .row_scales = quantized ? row_scales + block.first : nullptr,
      .finish = finish_of(op.epilogue),
      .softcap = op.softcap};
  if (op.bias) finish.bias = weights_.at(*op.bias).vector.data() + column;
  if (op.aux) {
    const MatrixView<float> aux = frame.value(*op.aux);
    finish.aux = aux.data() + block.first * aux.stride() + column;
    finish.aux_stride = aux.stride();
  }
  table_.finish(finish);
}

CpuKernels::Tiles CpuKernels::unpack_tiles(const MatmulPlan& plan, const Tiles& tiles, std::int64_t n_tiles,
                                           std::int64_t n_columns, std::span<std::byte> panel) {
  if (plan.unpacking.unpack == nullptr) return tiles;
  const std::int64_t tile_bytes = n_columns * unpacked_column_bytes(plan.unpacking.into);
  for (std::int64_t i = 0; i < n_tiles; ++i) {
    plan.unpacking.unpack(tiles.first + i * tiles.tile_bytes, n_columns, panel.data() + i * tile_bytes);
  }
  return {panel.data(), tile_bytes};
}

void CpuKernels::multiply_panel(const Matmul& op, const MatmulPlan& plan, const HostFrame& frame,
                                std::int64_t first_tile, std::int64_t n_tiles, RowBlocks blocks, int thread) {
  const PackedWeight& weight = weights_.at(op.weight);
  const std::int64_t n_rows = frame.value(op.out).rows();
  ScratchCutter cutter(scratch_.of_thread(thread));
  const std::span<std::byte> panel = cutter.take<std::byte>(panel_bytes(plan, weight));
  const Tiles tiles = unpack_tiles(plan, {weight.tiles + first_tile * weight.tile_bytes, weight.tile_bytes}, n_tiles,
                                   weight.k_padded, panel);
  alignas(64) float sums[kMaxRowBlock * kMaxPanelTiles * kTileRows];
  static_assert(kOneRowTiles <= kMaxRowBlock * kMaxPanelTiles);
  // The blocks together ask for all of the next tiles: else the first of them would wait for memory, which would then
  // have nothing to do while the others multiply.
  const std::int64_t n_blocks = blocks.end - blocks.first;
  const std::int64_t n_next = std::min(n_tiles, weight.n_tiles - first_tile - n_tiles);
  const std::int64_t n_steps = packed_columns(weight, plan.kernel) / plan.kernel.unit;
  const std::int64_t step_bytes = n_blocks <= 1 ? 0 : ceil_divide(n_next * weight.tile_bytes, n_blocks * n_steps);
  const std::byte* next_tiles = weight.tiles + (first_tile + n_tiles) * weight.tile_bytes;
  for (int index = blocks.first; index < blocks.end; ++index) {
    const RowBlock block = row_block(plan, weight, n_rows, index);
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
    if (plan.is_many) {
      args.next_a = row_block(plan, weight, n_rows, index + 1 < blocks.end ? index + 1 : blocks.first).activations;
      ask_for_outputs(op, weight, frame, first_tile, n_tiles, block);
    }
    plan.kernel.multiply(args);
    finish_block(op, weight, frame, {sums, first_tile, n_tiles}, block);
  }
}

void CpuKernels::multiply_in_passes(const Matmul& op, const MatmulPlan& plan, const HostFrame& frame,
                                    std::int64_t first_tile, std::int64_t n_tiles, RowBlocks blocks, int thread) {
  const PackedWeight& weight = weights_.at(op.weight);
  const std::int64_t n_rows = frame.value(op.out).rows();
  const std::int64_t c_stride = n_tiles * kTileRows;
  const TileLayout layout = tile_layout(weight.spec.encoding);
  ScratchCutter cutter(scratch_.of_thread(thread));
  const std::span<std::byte> panel = cutter.take<std::byte>(panel_bytes(plan, weight));
  const std::span<float> sums = cutter.take<float>(pass_sums(plan, n_rows));
  const auto activations_of = [&](const RowBlock& block, std::int64_t k) {
    return block.activations + static_cast<std::size_t>(k * block.n_rows) * sizeof(float);
  };
  for (std::int64_t k = 0; k < weight.k_padded; k += kPassColumns) {
    const std::int64_t n_columns = std::min(kPassColumns, weight.k_padded - k);
    const std::byte* const from =
        weight.tiles + first_tile * weight.tile_bytes + k / layout.k_multiple * layout.bytes_per_multiple;
    const Tiles tiles = unpack_tiles(plan, {from, weight.tile_bytes}, n_tiles, n_columns, panel);
    const bool is_last_pass = k + n_columns == weight.k_padded;
    for (int index = blocks.first; index < blocks.end; ++index) {
      const RowBlock block = row_block(plan, weight, n_rows, index);
      const bool is_last_block = index + 1 == blocks.end;
      const RowBlock next = row_block(plan, weight, n_rows, is_last_block ? blocks.first : index + 1);
      const std::int64_t next_k = !is_last_block ? k : is_last_pass ? 0 : k + n_columns;
      float* const c = sums.data() + block.first * c_stride;
      if (is_last_pass) ask_for_outputs(op, weight, frame, first_tile, n_tiles, block);
      plan.kernel.multiply({.a = activations_of(block, k),
                            .n_rows = block.n_rows,
                            .tiles = tiles.first,
                            .tile_bytes = tiles.tile_bytes,
                            .n_tiles = n_tiles,
                            .k = n_columns,
                            .c = c,
                            .c_stride = c_stride,
                            .adds = k > 0,
                            .next_a = activations_of(next, next_k)});
      if (is_last_pass) finish_block(op, weight, frame, {c, first_tile, n_tiles}, block);
    }
  }
}

void CpuKernels::order_weights(const StepGraph& graph) {
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

NextStream CpuKernels::stream_after(WeightId weight) const {
  const std::int32_t next = next_weight_[static_cast<std::size_t>(index_of(weight))];
  if (next < 0) return {};
  const PackedWeight& tiles = weights_.at(WeightId{next});
  return {tiles.tiles, tiles.tile_bytes, tiles.n_tiles};
}

Result<void> CpuKernels::run(const Matmul& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const PackedWeight& weight = weights_.at(op.weight);
  if (x.rows() == 0) return {};
  if (weight.is_vector) {
    run_vector_matmul(op, weight, frame);
    return {};
  }
  const MatmulPlan plan = plan_matmul(op, weight, x.rows());
  SS_CHECK(weight.k_padded % plan.kernel.k_multiple == 0, "a weight's padding fits its kernel");
  pack_activations(x, plan.kernel, packed_columns(weight, plan.kernel));
  const int n_blocks = n_row_blocks(x.rows(), plan.kernel.max_rows);
  const bool is_one_row = x.rows() == 1;
  const auto multiply_tiles = [&](std::int64_t first_tile, std::int64_t end_tile, RowBlocks blocks, int thread) {
    for (std::int64_t tile = first_tile; tile < end_tile; tile += plan.panel_tiles) {
      const std::int64_t n_tiles = std::min(plan.panel_tiles, end_tile - tile);
      if (plan.in_passes) {
        multiply_in_passes(op, plan, frame, tile, n_tiles, blocks, thread);
      } else {
        multiply_panel(op, plan, frame, tile, n_tiles, blocks, thread);
      }
    }
  };
  const std::int64_t n_threads = pool_.n_threads();
  if (n_blocks == 1) {
    // Bound by memory: a stream for each thread. Gate and up are finished together, and several rows want two tiles.
    const std::int64_t unit_tiles = is_one_row ? weight.unit_tiles() : kTilePair;
    const std::int64_t unit_bytes = unit_tiles * weight.tile_bytes;
    const std::int64_t n_units = ceil_divide(weight.n_tiles, unit_tiles);
    pool_.announce_next(stream_after(op.weight));
    pool_.run_ranges(n_units, piece_units(n_units, unit_bytes, n_threads),
                     [&](std::int64_t first, std::int64_t end, int thread) {
                       multiply_tiles(first * unit_tiles, std::min(weight.n_tiles, end * unit_tiles), {0, 1}, thread);
                     });
    return {};
  }
  // Many rows make even two tiles a long chunk. Few tiles: the rows are shared out too.
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
  return {};
}

// A weight of one row is a plain vector (it may be a norm or a bias): dot products in f32.
void CpuKernels::run_vector_matmul(const Matmul& op, const PackedWeight& weight, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const auto k = static_cast<std::size_t>(x.cols());
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    std::span<const float> inputs = x.row(row);
    if (op.act == ActQuant::kInt8PerRow) {
      const std::span<float> rounded = ScratchCutter(scratch_.of_thread(0)).take<float>(k);
      float largest = 0.0F;
      for (const float value : inputs) {
        if (std::fabs(value) > largest || std::isnan(value)) largest = std::fabs(value);
      }
      const float scale = largest / 127.0F;
      for (std::size_t i = 0; i < k; ++i) {
        const float quotient = scale == 0.0F ? 0.0F : std::nearbyint(inputs[i] / scale);
        rounded[i] = scale * std::clamp(quotient, -127.0F, 127.0F);
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
