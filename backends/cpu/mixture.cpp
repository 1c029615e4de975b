// Mixtures of experts. The tokens of an expert are the rows of a product of its own, over the same tiles and kernels as
// every other product: chosen rows are sorted by expert, packed once, and then the threads share the tiles of all
// experts that were chosen, in one loop. With a few rows each that is a stream a thread, over one expert's tiles after
// the other; with many, two tiles are multiplied with all of their expert's rows while they are in the cache.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "backend_kit/workspace_plan.h"
#include "core/check.h"
#include "core/checked.h"
#include "cpu/kernels.h"
#include "cpu/product_pieces.h"

namespace secondsource::cpu {
namespace {

// Below this many values a loop over rows is over before another thread has woken up.
constexpr std::int64_t kSerialValues = 16384;

std::size_t packed_row_bytes(const ProductKernel& kernel, std::int64_t k_padded) {
  return static_cast<std::size_t>(round_up<std::int64_t>(k_padded, kernel.unit)) *
         static_cast<std::size_t>(act_bytes(kernel.act));
}

std::int64_t rows_of(ValueId value, const StepGraph& graph, const Bucket& bucket) {
  return max_rows(graph.values[static_cast<std::size_t>(index_of(value))].rows, bucket);
}

}  // namespace

Result<void> CpuKernels::keep_router(WeightId gate) {
  const PackedWeight& weight = weights_.at(gate);
  if (weight.spec.encoding == WeightEncoding::kF32 && !weight.is_vector) return {};
  if (routers_.contains(index_of(gate))) return {};
  const std::int64_t n_tiles = ceil_divide<std::int64_t>(weight.spec.n_rows, kTileRows);
  const auto n_columns = static_cast<std::size_t>(weight.spec.n_cols);
  SS_TRY(HostBuffer tiles,
         HostBuffer::allocate(account_, MemoryPurpose::kWeights,
                              static_cast<std::size_t>(n_tiles * kTileRows) * n_columns * sizeof(float)));
  const std::span<float> values = tiles.as<float>();
  std::ranges::fill(values, 0.0F);
  std::vector<float> row(n_columns);
  for (std::int64_t r = 0; r < weight.spec.n_rows; ++r) {
    unpack_row(weight, r, row);
    const std::size_t tile = static_cast<std::size_t>(r / kTileRows) * n_columns * kTileRows;
    const auto lane = static_cast<std::size_t>(r % kTileRows);
    for (std::size_t k = 0; k < n_columns; ++k) values[tile + k * kTileRows + lane] = row[k];
  }
  routers_.emplace(index_of(gate), std::move(tiles));
  return {};
}

CpuKernels::ExpertTiles CpuKernels::router_tiles(WeightId gate) const {
  const PackedWeight& weight = weights_.at(gate);
  const auto kept = routers_.find(index_of(gate));
  return {.first = kept == routers_.end() ? weight.tiles : kept->second.data(),
          .tile_bytes = weight.spec.n_cols * kTileRows * static_cast<std::int64_t>(sizeof(float)),
          .n_tiles = ceil_divide<std::int64_t>(weight.spec.n_rows, kTileRows),
          .k_padded = weight.spec.n_cols,
          .product = Product::kF32};
}

CpuKernels::ExpertTiles CpuKernels::expert_tiles(const GroupedMatmul& op) const {
  const PackedWeight& weight = weights_.at(op.weights);
  return {.first = weight.tiles,
          .tile_bytes = weight.tile_bytes,
          .n_tiles = weight.expert_tiles(),
          .k_padded = weight.k_padded,
          .scales = weight.scales.empty() ? nullptr : weight.scales.data(),
          .row_sums = weight.row_sums.empty() ? nullptr : weight.row_sums.data(),
          .is_quantized = op.act == ActQuant::kInt8PerRow,
          .tiles_per_column = weight.unit_tiles(),
          .product = product_of(weight.spec.encoding, op.act)};
}

CpuKernels::ChosenKernel CpuKernels::chosen_kernel(const ExpertTiles& weight, std::int64_t n_rows) const {
  Unpacking unpacking{.into = weight.product};
  const Unpacking& of_table = table_.unpack[int(weight.product)];
  if (n_rows >= kUnpackFromRows && of_table.unpack != nullptr) unpacking = of_table;
  const bool in_passes = n_rows >= kUnpackFromRows && unpacking.into == Product::kF32;
  return {table_.products[int(unpacking.into)], unpacking,
          in_passes ? std::min(kPassColumns, weight.k_padded) : weight.k_padded};
}

std::size_t CpuKernels::chosen_row_bytes(const ExpertTiles& weight) const {
  return std::max(packed_row_bytes(chosen_kernel(weight, 1).kernel, weight.k_padded),
                  packed_row_bytes(chosen_kernel(weight, kUnpackFromRows).kernel, weight.k_padded));
}

std::size_t CpuKernels::chosen_panel_bytes(const ChosenKernel& chosen) {
  if (chosen.unpacking.unpack == nullptr) return 0;
  return static_cast<std::size_t>(kTilePair * chosen.pass_columns * unpacked_column_bytes(chosen.unpacking.into));
}

ScratchNeed CpuKernels::chosen_need(const ExpertTiles& weight, std::int64_t n_chosen, std::int64_t k) const {
  const ChosenKernel many = chosen_kernel(weight, kUnpackFromRows);
  const auto gathered = static_cast<std::size_t>(kMaxRowBlock * k);
  const auto sums = static_cast<std::size_t>(n_chosen * kTilePair * kTileRows);
  return {.activations = row_scales_bytes(n_chosen) + static_cast<std::size_t>(n_chosen) * chosen_row_bytes(weight),
          .per_thread = std::max(ScratchCutter::size_of_piece<float>(gathered),
                                 ScratchCutter::size_of_piece<std::byte>(chosen_panel_bytes(many)) +
                                     ScratchCutter::size_of_piece<float>(sums))};
}

ScratchNeed CpuKernels::route_need(const Route& op, const StepGraph& graph, const Bucket& bucket) const {
  const PackedWeight& gate = weights_.at(op.gate);
  const std::int64_t n_tokens = rows_of(op.x, graph, bucket);
  ScratchNeed need = chosen_need(router_tiles(op.gate), n_tokens, gate.spec.n_cols);
  const auto n_experts = static_cast<std::size_t>(gate.spec.n_rows);
  need.partials = static_cast<std::size_t>(n_tokens) * n_experts * sizeof(float);
  need.per_thread = std::max(need.per_thread, ScratchCutter::size_of_piece<std::int32_t>(n_experts));
  return need;
}

ScratchNeed CpuKernels::grouped_need(const GroupedMatmul& op, const StepGraph& graph, const Bucket& bucket) const {
  const WeightSpec& spec = weights_.at(op.weights).spec;
  const std::int64_t n_chosen = rows_of(op.x, graph, bucket) * op.n_top;
  ScratchNeed need = chosen_need(expert_tiles(op), n_chosen, spec.n_cols);
  if (op.weight) need.partials = static_cast<std::size_t>(n_chosen * (spec.n_rows / spec.n_experts)) * sizeof(float);
  return need;
}

Result<void> CpuKernels::group_by_expert(const MatrixView<std::int32_t>& expert, std::int64_t n_experts) {
  const std::span<const std::int32_t> experts(expert.data(), static_cast<std::size_t>(expert.rows() * expert.cols()));
  groups_.assign(static_cast<std::size_t>(n_experts), {});
  for (const std::int32_t e : experts) {
    if (e < 0 || e >= n_experts) {
      return Error{ErrorCode::kInternal,
                   fmt::format("a token's expert: expected one in [0, {}), found {}", n_experts, e)};
    }
    ++groups_[static_cast<std::size_t>(e)].n_rows;
  }
  std::int64_t first = 0;
  for (std::size_t e = 0; e < groups_.size(); ++e) {
    groups_[e].expert = static_cast<std::int32_t>(e);
    groups_[e].first = first;
    first += groups_[e].n_rows;
    groups_[e].n_rows = 0;
  }
  chosen_.resize(experts.size());
  for (std::size_t i = 0; i < experts.size(); ++i) {
    ExpertGroup& group = groups_[static_cast<std::size_t>(experts[i])];
    chosen_[static_cast<std::size_t>(group.first + group.n_rows++)] = static_cast<std::int32_t>(i);
  }
  std::erase_if(groups_, [](const ExpertGroup& group) { return group.n_rows == 0; });
  return {};
}

void CpuKernels::pack_chosen(const ChosenProduct& product) {
  const ExpertTiles& weight = product.weight;
  const auto n_chosen = static_cast<std::int64_t>(chosen_.size());
  chosen_blocks_.clear();
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const auto n_rows = static_cast<int>(groups_[g].n_rows);
    const int max_rows = chosen_kernel(weight, n_rows).kernel.max_rows;
    for (int block = 0; block < ceil_divide(n_rows, max_rows); ++block) {
      const int first = row_block_begin(n_rows, max_rows, block);
      chosen_blocks_.push_back({.group = static_cast<std::int64_t>(g),
                                .first = groups_[g].first + first,
                                .n_rows = row_block_begin(n_rows, max_rows, block + 1) - first});
    }
  }
  std::byte* const base = scratch_.activations().data();
  const auto k = static_cast<std::size_t>(product.x.cols());
  const auto pack = [&](std::int64_t index, int thread) {
    const ChosenBlock& block = chosen_blocks_[static_cast<std::size_t>(index)];
    const ExpertGroup& group = groups_[static_cast<std::size_t>(block.group)];
    const ProductKernel& kernel = chosen_kernel(weight, group.n_rows).kernel;
    ScratchCutter cutter(scratch_.of_thread(thread));
    const std::span<float> gathered = cutter.take<float>(static_cast<std::size_t>(block.n_rows) * k);
    for (std::int64_t row = 0; row < block.n_rows; ++row) {
      const std::int64_t of_x = chosen_[static_cast<std::size_t>(block.first + row)] / product.chosen_per_x;
      std::copy_n(product.x.row(of_x).data(), k, gathered.data() + static_cast<std::size_t>(row) * k);
    }
    const std::size_t before =
        static_cast<std::size_t>(group.first) * chosen_row_bytes(weight) +
        static_cast<std::size_t>(block.first - group.first) * packed_row_bytes(kernel, weight.k_padded);
    const std::int64_t k_padded = round_up<std::int64_t>(weight.k_padded, kernel.unit);
    table_.pack({.x = gathered.data(),
                 .x_stride = product.x.cols(),
                 .n_rows = static_cast<int>(block.n_rows),
                 .k = product.x.cols(),
                 .k_padded = k_padded,
                 .unit = kernel.unit,
                 .act = kernel.act,
                 .out = base + row_scales_bytes(n_chosen) + before,
                 .row_scales = reinterpret_cast<float*>(base) + block.first});
  };
  const auto n_blocks = static_cast<std::int64_t>(chosen_blocks_.size());
  if (n_chosen * weight.k_padded <= 2 * kSerialValues) {
    for (std::int64_t block = 0; block < n_blocks; ++block) pack(block, 0);
  } else {
    pool_.run(n_blocks, pack);
  }
}

void CpuKernels::multiply_group(const ChosenProduct& product, const ExpertGroup& group, std::int64_t first_tile,
                                std::int64_t end_tile, int thread) {
  const ExpertTiles& weight = product.weight;
  const ChosenKernel chosen = chosen_kernel(weight, group.n_rows);
  const ProductKernel& kernel = chosen.kernel;
  const auto n_chosen = static_cast<std::int64_t>(chosen_.size());
  const auto n_rows = static_cast<int>(group.n_rows);
  const std::byte* const base = scratch_.activations().data();
  const std::byte* const packed =
      base + row_scales_bytes(n_chosen) + static_cast<std::size_t>(group.first) * chosen_row_bytes(weight);
  ScratchCutter cutter(scratch_.of_thread(thread));
  const std::span<std::byte> panel = cutter.take<std::byte>(chosen_panel_bytes(chosen));
  const bool in_passes = chosen.pass_columns < weight.k_padded;
  const std::span<float> pass_sums =
      cutter.take<float>(in_passes ? static_cast<std::size_t>(n_rows * kTilePair * kTileRows) : 0);
  const std::int64_t panel_tiles = n_rows == 1 ? kOneRowTiles : kTilePair;
  alignas(64) float block_sums[kOneRowTiles * kTileRows];
  for (std::int64_t tile = first_tile; tile < end_tile; tile += panel_tiles) {
    const std::int64_t n_tiles = std::min(panel_tiles, end_tile - tile);
    const std::int64_t c_stride = n_tiles * kTileRows;
    const std::int64_t packed_tile = group.expert * weight.n_tiles + tile;
    for (std::int64_t k = 0; k < weight.k_padded; k += chosen.pass_columns) {
      const std::int64_t n_columns = std::min(chosen.pass_columns, weight.k_padded - k);
      // A tile's bytes are spread evenly over its columns.
      const std::byte* const from =
          weight.first + packed_tile * weight.tile_bytes + k * weight.tile_bytes / weight.k_padded;
      const Tiles tiles = unpack_chosen(chosen, {from, weight.tile_bytes}, n_tiles, n_columns, panel);
      for (int block = 0; block < ceil_divide(n_rows, kernel.max_rows); ++block) {
        const int first = row_block_begin(n_rows, kernel.max_rows, block);
        const int end = row_block_begin(n_rows, kernel.max_rows, block + 1);
        float* const sums = in_passes ? pass_sums.data() + first * c_stride : block_sums;
        const std::byte* const rows =
            packed + static_cast<std::size_t>(first) * packed_row_bytes(kernel, weight.k_padded);
        kernel.multiply(
            {.a = rows + static_cast<std::size_t>(k * (end - first)) * static_cast<std::size_t>(act_bytes(kernel.act)),
             .n_rows = end - first,
             .tiles = tiles.first,
             .tile_bytes = tiles.tile_bytes,
             .n_tiles = n_tiles,
             .k = n_columns,
             .c = sums,
             .c_stride = c_stride,
             .adds = k > 0,
             .row_sums = weight.row_sums == nullptr ? nullptr : weight.row_sums + packed_tile * kTileRows});
        if (k + n_columns < weight.k_padded) continue;
        finish_chosen(product, group, {sums, tile, n_tiles}, {first, end - first, rows});
      }
    }
  }
}

CpuKernels::Tiles CpuKernels::unpack_chosen(const ChosenKernel& chosen, const Tiles& tiles, std::int64_t n_tiles,
                                            std::int64_t n_columns, std::span<std::byte> panel) {
  if (chosen.unpacking.unpack == nullptr) return tiles;
  const std::int64_t unpacked_bytes = static_cast<std::int64_t>(panel.size()) / kTilePair;
  for (std::int64_t i = 0; i < n_tiles; ++i) {
    chosen.unpacking.unpack(tiles.first + i * tiles.tile_bytes, n_columns, panel.data() + i * unpacked_bytes);
  }
  return {panel.data(), unpacked_bytes};
}

void CpuKernels::finish_chosen(const ChosenProduct& product, const ExpertGroup& group, const TileSums& sums,
                               const RowBlock& block) {
  const ExpertTiles& weight = product.weight;
  const std::int64_t column = sums.first_tile / weight.tiles_per_column * kTileRows;
  const std::int64_t packed_row = (group.expert * weight.n_tiles + sums.first_tile) * kTileRows;
  const auto* const row_scales = reinterpret_cast<const float*>(scratch_.activations().data());
  // Neighbours in chosen_ are none in the output.
  for (int row = 0; row < block.n_rows; ++row) {
    const std::int64_t at = group.first + block.first + row;
    table_.finish({.c = sums.c + row * sums.n_tiles * kTileRows,
                   .c_stride = sums.n_tiles * kTileRows,
                   .n_rows = 1,
                   .n_cols = std::min(sums.n_tiles / weight.tiles_per_column * kTileRows, product.out.cols() - column),
                   .out = product.out.row(chosen_[static_cast<std::size_t>(at)]).data() + column,
                   .out_stride = product.out.stride(),
                   .weight_scales = weight.scales == nullptr ? nullptr : weight.scales + packed_row,
                   .row_scales = weight.is_quantized ? row_scales + at : nullptr,
                   .finish = product.finish});
  }
}

void CpuKernels::multiply_chosen(const ChosenProduct& product) {
  const ExpertTiles& weight = product.weight;
  SS_CHECK(weight.k_padded % chosen_kernel(weight, 1).kernel.k_multiple == 0, "a weight's padding fits its kernel");
  pack_chosen(product);
  // Items of two tiles: gate and up are finished together, and several rows want two.
  const std::int64_t n_units = ceil_divide(weight.n_tiles, kTilePair);
  const std::int64_t n_items = static_cast<std::int64_t>(groups_.size()) * n_units;
  const auto multiply = [&](std::int64_t first, std::int64_t end, int thread) {
    while (first < end) {
      const std::int64_t unit = first % n_units;
      const std::int64_t n = std::min(n_units - unit, end - first);
      multiply_group(product, groups_[static_cast<std::size_t>(first / n_units)], unit * kTilePair,
                     std::min(weight.n_tiles, (unit + n) * kTilePair), thread);
      first += n;
    }
  };
  if (chosen_blocks_.size() > groups_.size()) {
    // Many rows make even two tiles a long piece.
    pool_.run(n_items, [&](std::int64_t item, int thread) { multiply(item, item + 1, thread); });
    return;
  }
  pool_.run_ranges(n_items, piece_units(n_items, kTilePair * weight.tile_bytes, pool_.n_threads()), multiply);
}

void CpuKernels::choose_experts(const Route& op, const HostFrame& frame, std::int64_t token,
                                std::span<const float> scores, std::span<std::int32_t> order) const {
  const std::span<std::int32_t> expert = frame.value_i32(op.expert).row(token);
  const std::span<float> weight = frame.value(op.weight).row(token);
  const auto n_top = static_cast<std::size_t>(op.n_top);
  std::iota(order.begin(), order.end(), 0);
  const auto score = [&](std::int32_t e) { return scores[static_cast<std::size_t>(e)]; };
  // NaN has no place in an order: a row that has it takes the first experts, with weights of NaN.
  const bool has_nan = std::ranges::any_of(scores, [](float value) { return std::isnan(value); });
  if (!has_nan) {
    std::ranges::partial_sort(order, order.begin() + op.n_top, [&](std::int32_t a, std::int32_t b) {
      return score(a) > score(b) || (score(a) == score(b) && a < b);
    });
  }
  const auto power = [&](std::size_t i) { return std::exp(static_cast<double>(score(order[i]) - score(order[0]))); };
  double sum = 0.0;
  for (std::size_t i = 0; i < (op.renormalize ? n_top : order.size()); ++i) sum += power(i);
  for (std::size_t j = 0; j < n_top; ++j) {
    expert[j] = order[j];
    weight[j] = has_nan ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(power(j) / sum);
  }
}

Result<void> CpuKernels::run(const Route& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  if (x.rows() == 0) return {};
  const std::int64_t n_experts = weights_.at(op.gate).spec.n_rows;
  groups_.assign(1, {.expert = 0, .first = 0, .n_rows = x.rows()});
  chosen_.resize(static_cast<std::size_t>(x.rows()));
  std::iota(chosen_.begin(), chosen_.end(), 0);
  const MatrixView<float> scores(scratch_.partials().data(), x.rows(), n_experts);
  multiply_chosen({.weight = router_tiles(op.gate), .x = x, .out = scores});
  const auto choose = [&](std::int64_t token, int thread) {
    choose_experts(op, frame, token, scores.row(token),
                   ScratchCutter(scratch_.of_thread(thread)).take<std::int32_t>(static_cast<std::size_t>(n_experts)));
  };
  if (x.rows() * n_experts <= kSerialValues) {
    for (std::int64_t token = 0; token < x.rows(); ++token) choose(token, 0);
  } else {
    pool_.run(x.rows(), choose);
  }
  return {};
}

Result<void> CpuKernels::run(const GroupedMatmul& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const WeightSpec& spec = weights_.at(op.weights).spec;
  if (x.rows() == 0) return {};
  SS_TRY_VOID(group_by_expert(frame.value_i32(op.expert), spec.n_experts));
  const std::int64_t n_chosen = x.rows() * op.n_top;
  if (!op.weight) {
    const Finish finish = op.epilogue == Epilogue::kGatedSilu   ? Finish::kGatedSilu
                          : op.epilogue == Epilogue::kGatedGelu ? Finish::kGatedGelu
                                                                : Finish::kNone;
    multiply_chosen({.weight = expert_tiles(op),
                     .x = x,
                     .chosen_per_x = op.n_top,
                     .out = {out.data(), n_chosen, out.cols() / op.n_top},
                     .finish = finish});
    return {};
  }
  const MatrixView<float> apart(scratch_.partials().data(), n_chosen, out.cols());
  multiply_chosen({.weight = expert_tiles(op), .x = {x.data(), n_chosen, spec.n_cols}, .out = apart});
  // Each token's experts, always in the same order.
  const MatrixView<float> share = frame.value(*op.weight);
  const auto add_up = [&](std::int64_t token, int) {
    const std::span<float> total = out.row(token);
    if (!op.aux) {
      std::ranges::fill(total, 0.0F);
    } else if (*op.aux != op.out) {
      std::ranges::copy(frame.value(*op.aux).row(token), total.begin());
    }
    for (std::int64_t j = 0; j < op.n_top; ++j) {
      const std::span<const float> row = apart.row(token * op.n_top + j);
      const float factor = share(token, j);
      for (std::size_t i = 0; i < total.size(); ++i) total[i] += factor * row[i];
    }
  };
  if (n_chosen * out.cols() <= 2 * kSerialValues) {
    for (std::int64_t token = 0; token < x.rows(); ++token) add_up(token, 0);
  } else {
    pool_.run(x.rows(), add_up);
  }
  return {};
}

}  // namespace secondsource::cpu
