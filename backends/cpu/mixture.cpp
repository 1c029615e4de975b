// Routed rows are sorted by expert and packed once; then the threads share the tiles of all chosen experts in one loop. With few rows per
// expert every thread streams the tiles of one expert after the other. With many rows, two tiles are multiplied with all rows of their
// expert while they are in the cache; on CPUs with tile registers, block_product.h cuts the product instead.

#include "cpu/mixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "backend_kit/workspace_plan.h"
#include "core/check.h"
#include "core/checked.h"
#include "cpu/cpu_features.h"

namespace secondsource::cpu {
namespace {

// A loop over fewer values than this is over before another thread has woken up.
constexpr std::int64_t kSerialValues = 16384;

// An expert with at most this many row blocks is multiplied block by block: a pair of whole tiles is unpacked once and then meets all of
// the expert's rows.
constexpr std::int64_t kFewBlocks = 2;

std::size_t packed_row_bytes(const ProductKernel& kernel, std::int64_t k_padded) {
  return static_cast<std::size_t>(packed_columns(k_padded, kernel)) * bytes_of(kernel.act);
}

std::int64_t rows_of(ValueId value, const StepGraph& graph, const Bucket& bucket) {
  return max_rows(graph.values[static_cast<std::size_t>(index_of(value))].rows, bucket);
}

Finish finish_of(const GroupedMatmul& op) {
  if (op.epilogue == Epilogue::kGatedSilu) return Finish::kGatedSilu;
  if (op.epilogue == Epilogue::kGatedGelu) return Finish::kGatedGelu;
  if (op.epilogue == Epilogue::kGatedClampedSwish) return Finish::kGatedClampedSwish;
  return op.bias ? Finish::kBias : Finish::kNone;  // a residual is added by add_experts()
}

}  // namespace

Result<void> MixtureRunner::keep_router(WeightId gate) {
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

MixtureRunner::ExpertTiles MixtureRunner::router_tiles(WeightId gate) const {
  const PackedWeight& weight = weights_.at(gate);
  const auto kept = routers_.find(index_of(gate));
  return {.first = kept == routers_.end() ? weight.tiles : kept->second.data(),
          .tile_bytes = weight.spec.n_cols * kTileRows * static_cast<std::int64_t>(sizeof(float)),
          .n_tiles = ceil_divide<std::int64_t>(weight.spec.n_rows, kTileRows),
          .k_padded = weight.spec.n_cols,
          .product = Product::kF32};
}

MixtureRunner::ExpertTiles MixtureRunner::expert_tiles(WeightId weights, ActQuant act, float act_scale) const {
  const PackedWeight& weight = weights_.at(weights);
  return {.first = weight.tiles,
          .tile_bytes = weight.tile_bytes,
          .n_tiles = weight.expert_tiles(),
          .k_padded = weight.k_padded,
          .scales = weight.scales.empty() ? nullptr : weight.scales.data(),
          .row_sums = weight.row_sums.empty() ? nullptr : weight.row_sums.data(),
          .act = act,
          .act_scale = act_scale,
          .tiles_per_column = weight.tiles_per_column(),
          .product = product_of(weight.spec.encoding, act)};
}

MixtureRunner::GroupKernel MixtureRunner::kernel_for(const ExpertTiles& weight, std::int64_t n_rows) const {
  Unpacking unpacking{.into = weight.product};
  const Unpacking& of_table = table_.unpack[int(weight.product)];
  if (n_rows >= of_table.from_rows && of_table.unpack != nullptr) unpacking = of_table;
  const bool in_passes = n_rows >= unpacking.from_rows && unpacking.into == Product::kF32;
  const ProductKernel kernel = kernel_of(table_, unpacking.into, weight.act, n_rows);
  return {.kernel = kernel,
          .unpacking = unpacking,
          .pass_columns = in_passes ? std::min(kPassColumns, weight.k_padded) : weight.k_padded,
          .in_blocks = BlockProduct::takes(kernel, unpacking, n_rows) && n_rows > kFewBlocks * kernel.max_rows};
}

MixtureRunner::GroupKernel MixtureRunner::kernel_of_many(const ExpertTiles& weight) const {
  return kernel_for(weight, std::max(kUnpackFromRows, table_.unpack[int(weight.product)].from_rows));
}

const float* MixtureRunner::bias_of(const std::optional<WeightId>& bias) const {
  return bias ? weights_.at(*bias).vector.data() : nullptr;
}

std::string MixtureRunner::kernel_name(const ExpertTiles& tiles, WeightId weights, std::int64_t n_rows) const {
  const GroupKernel chosen = kernel_for(tiles, n_rows);
  return fmt::format("{}grouped_{}_{}", unpacked_from(weights_.at(weights), chosen.unpacking), chosen.kernel.name,
                     isa_of(chosen.kernel, table_));
}

std::string MixtureRunner::kernel_name(const GroupedMatmul& op, std::int64_t n_tokens) const {
  const ExpertTiles tiles = expert_tiles(op.weights, op.act);
  // An expert that is chosen has between one row and all of them.
  std::string name = kernel_name(tiles, op.weights, 1);
  const std::string most = kernel_name(tiles, op.weights, n_tokens);
  if (most != name) name = fmt::format("{} or {}", name, most);
  return name;
}

std::string MixtureRunner::kernel_name(const HeadMatmul& op, std::int64_t n_tokens) const {
  return kernel_name(expert_tiles(op.weights, ActQuant::kNone), op.weights, n_tokens);
}

std::size_t MixtureRunner::row_bytes(const ExpertTiles& weight) const {
  const std::int64_t most_packed_rows = table_.unpack[int(weight.product)].from_rows - 1;
  return std::max({packed_row_bytes(kernel_for(weight, 1).kernel, weight.k_padded),
                   packed_row_bytes(kernel_for(weight, most_packed_rows).kernel, weight.k_padded),
                   packed_row_bytes(kernel_of_many(weight).kernel, weight.k_padded)});
}

std::size_t MixtureRunner::panel_bytes(const GroupKernel& kernel) {
  if (kernel.unpacking.unpack == nullptr || kernel.in_blocks) return 0;
  return static_cast<std::size_t>(kTilePair * unpacked_bytes(kernel.unpacking.into, kernel.pass_columns));
}

ScratchNeed MixtureRunner::routed_need(const ExpertTiles& weight, std::int64_t n_rows, std::int64_t k) const {
  const auto gathered = static_cast<std::size_t>(kMaxRowBlock * k);
  const auto sums = static_cast<std::size_t>(n_rows * kTilePair * kTileRows);
  ScratchNeed need{.activations = activation_bytes(n_rows, row_bytes(weight)),
                   .per_thread = ScratchCutter::bytes_for<float>(gathered)};
  // The router decides how many of the rows an expert gets.
  for (const std::int64_t n : row_counts_of_scratch(table_, weight.product, n_rows)) {
    const GroupKernel kernel = kernel_for(weight, n);
    need.per_thread =
        std::max(need.per_thread, kernel.in_blocks ? block_product(weight, kernel, 0, n).scratch_bytes()
                                                   : ScratchCutter::bytes_for<std::byte>(panel_bytes(kernel)) +
                                                         ScratchCutter::bytes_for<float>(sums));
  }
  return need;
}

ScratchNeed MixtureRunner::scratch_need(const Route& op, const StepGraph& graph, const Bucket& bucket) const {
  const PackedWeight& gate = weights_.at(op.gate);
  const std::int64_t n_tokens = rows_of(op.x, graph, bucket);
  ScratchNeed need = routed_need(router_tiles(op.gate), n_tokens, gate.spec.n_cols);
  const auto n_experts = static_cast<std::size_t>(gate.spec.n_rows);
  need.partials = static_cast<std::size_t>(n_tokens) * n_experts * sizeof(float);
  const auto n_groups = static_cast<std::size_t>(op.n_groups);
  const std::size_t of_choice = ScratchCutter::bytes_for<std::int32_t>(n_experts) +
                                ScratchCutter::bytes_for<double>(n_experts) +
                                ScratchCutter::bytes_for<double>(n_groups);
  need.per_thread = std::max(need.per_thread, of_choice);
  return need;
}

ScratchNeed MixtureRunner::scratch_need(const HeadMatmul& op, const StepGraph& graph, const Bucket& bucket) const {
  return routed_need(expert_tiles(op.weights, ActQuant::kNone), rows_of(op.x, graph, bucket) * op.n_heads,
                     weights_.at(op.weights).spec.n_cols);
}

ScratchNeed MixtureRunner::scratch_need(const GroupedMatmul& op, const StepGraph& graph, const Bucket& bucket) const {
  const WeightSpec& spec = weights_.at(op.weights).spec;
  const std::int64_t n_rows = rows_of(op.x, graph, bucket) * op.n_top;
  ScratchNeed need = routed_need(expert_tiles(op.weights, op.act), n_rows, spec.n_cols);
  if (op.weight) need.partials = static_cast<std::size_t>(n_rows * (spec.n_rows / spec.n_experts)) * sizeof(float);
  return need;
}

void MixtureRunner::plan_router(std::int64_t n_tokens, Plan& plan) {
  plan.groups.assign(1, {.expert = 0, .first = 0, .n_rows = n_tokens});
  plan.rows.resize(static_cast<std::size_t>(n_tokens));
  std::iota(plan.rows.begin(), plan.rows.end(), 0);
}

void MixtureRunner::plan_heads(std::int64_t n_tokens, std::int32_t n_heads, Plan& plan) {
  plan.groups.clear();
  plan.rows.clear();
  for (std::int32_t head = 0; head < n_heads; ++head) {
    plan.groups.push_back({.expert = head, .first = head * n_tokens, .n_rows = n_tokens});
    for (std::int64_t token = 0; token < n_tokens; ++token) {
      plan.rows.push_back(static_cast<std::int32_t>(token * n_heads + head));
    }
  }
}

Result<void> MixtureRunner::plan_experts(const MatrixView<std::int32_t>& expert, std::int64_t n_experts, Plan& plan) {
  const std::span<const std::int32_t> experts(expert.data(), static_cast<std::size_t>(expert.rows() * expert.cols()));
  std::vector<ExpertGroup>& groups = plan.groups;
  groups.assign(static_cast<std::size_t>(n_experts), {});
  for (const std::int32_t e : experts) {
    if (e < 0 || e >= n_experts) {
      return Error{ErrorCode::kInternal,
                   fmt::format("a token's expert: expected one in [0, {}), found {}", n_experts, e)};
    }
    ++groups[static_cast<std::size_t>(e)].n_rows;
  }
  std::int64_t first = 0;
  for (std::size_t e = 0; e < groups.size(); ++e) {
    groups[e].expert = static_cast<std::int32_t>(e);
    groups[e].first = first;
    first += groups[e].n_rows;
    groups[e].n_rows = 0;
  }
  plan.rows.resize(experts.size());
  for (std::size_t i = 0; i < experts.size(); ++i) {
    ExpertGroup& group = groups[static_cast<std::size_t>(experts[i])];
    plan.rows[static_cast<std::size_t>(group.first + group.n_rows++)] = static_cast<std::int32_t>(i);
  }
  std::erase_if(groups, [](const ExpertGroup& group) { return group.n_rows == 0; });
  return {};
}

void MixtureRunner::plan_blocks(const ExpertTiles& weight, Plan& plan) const {
  plan.blocks.clear();
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const ExpertGroup& group = plan.groups[g];
    const auto n_rows = static_cast<int>(group.n_rows);
    const int max_rows = kernel_for(weight, n_rows).kernel.max_rows;
    for (int block = 0; block < n_row_blocks(n_rows, max_rows); ++block) {
      const int first = row_block_begin(n_rows, max_rows, block);
      plan.blocks.push_back({.group = static_cast<std::int64_t>(g),
                             .first = group.first + first,
                             .n_rows = row_block_begin(n_rows, max_rows, block + 1) - first});
    }
  }
}

BlockProduct MixtureRunner::block_product(const ExpertTiles& weight, const GroupKernel& kernel, std::int32_t expert,
                                          std::int64_t n_rows) const {
  const std::int64_t first_tile = expert * weight.n_tiles;
  return {kernel.kernel,
          kernel.unpacking,
          {.tiles = weight.first + first_tile * weight.tile_bytes,
           .tile_bytes = weight.tile_bytes,
           .n_tiles = weight.n_tiles,
           .k_padded = weight.k_padded,
           .row_sums = weight.row_sums == nullptr ? nullptr : weight.row_sums + first_tile * kTileRows},
          n_rows,
          pool_.n_threads()};
}

void MixtureRunner::plan_chunks(const ExpertTiles& weight, Plan& plan) const {
  plan.chunks.clear();
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const ExpertGroup& group = plan.groups[g];
    const GroupKernel kernel = kernel_for(weight, group.n_rows);
    // Without blocks, even two tiles are a long chunk.
    std::int64_t most_tiles = kTilePair;
    int n_cut_groups = 1;
    if (kernel.in_blocks) {
      const BlockCut cut = block_product(weight, kernel, group.expert, group.n_rows).cut();
      most_tiles = cut.panel_tiles;
      n_cut_groups = cut.n_groups;
    }
    for (int cut_group = 0; cut_group < n_cut_groups; ++cut_group) {
      for (std::int64_t tile = 0; tile < weight.n_tiles; tile += most_tiles) {
        plan.chunks.push_back({.group = static_cast<std::int64_t>(g),
                               .first_tile = tile,
                               .n_tiles = std::min(most_tiles, weight.n_tiles - tile),
                               .cut_group = cut_group});
      }
    }
  }
}

void MixtureRunner::pack_rows(const RoutedMatmul& matmul, const Plan& plan, const PackedActivations& activations) {
  const ExpertTiles& weight = matmul.weight;
  const auto k = static_cast<std::size_t>(matmul.x.cols());
  const auto pack = [&](std::int64_t index, int thread) {
    const RoutedBlock& block = plan.blocks[static_cast<std::size_t>(index)];
    const ExpertGroup& group = plan.groups[static_cast<std::size_t>(block.group)];
    const ProductKernel& kernel = kernel_for(weight, group.n_rows).kernel;
    ScratchCutter cutter(scratch_.of_thread(thread));
    const std::span<float> gathered = cutter.take<float>(static_cast<std::size_t>(block.n_rows) * k);
    for (std::int64_t row = 0; row < block.n_rows; ++row) {
      const std::int64_t row_of_x = plan.rows[static_cast<std::size_t>(block.first + row)] / matmul.rows_per_x;
      std::copy_n(matmul.x.row(row_of_x).data(), k, gathered.data() + static_cast<std::size_t>(row) * k);
    }
    const std::size_t offset =
        static_cast<std::size_t>(group.first) * row_bytes(weight) +
        static_cast<std::size_t>(block.first - group.first) * packed_row_bytes(kernel, weight.k_padded);
    table_.pack({.x = gathered.data(),
                 .x_stride = matmul.x.cols(),
                 .n_rows = static_cast<int>(block.n_rows),
                 .k = matmul.x.cols(),
                 .k_padded = packed_columns(weight.k_padded, kernel),
                 .vec = kernel.vec,
                 .act = kernel.act,
                 .static_scale = weight.act_scale,
                 .out = activations.rows + offset,
                 .row_scales = activations.row_scales + block.first});
  };
  const auto n_blocks = static_cast<std::int64_t>(plan.blocks.size());
  if (plan.n_rows() * weight.k_padded <= 2 * kSerialValues) {
    for (std::int64_t block = 0; block < n_blocks; ++block) pack(block, 0);
  } else {
    pool_.run(n_blocks, pack);
  }
}

void MixtureRunner::multiply_chunk(const RoutedMatmul& matmul, const Plan& plan, const PackedActivations& activations,
                                   const Chunk& chunk, int thread) const {
  const ExpertTiles& weight = matmul.weight;
  const ExpertGroup& group = plan.groups[static_cast<std::size_t>(chunk.group)];
  const GroupKernel chosen = kernel_for(weight, group.n_rows);
  const ProductKernel& kernel = chosen.kernel;
  const auto n_rows = static_cast<int>(group.n_rows);
  const std::byte* const packed = activations.rows + static_cast<std::size_t>(group.first) * row_bytes(weight);
  const std::int64_t end_tile = chunk.first_tile + chunk.n_tiles;
  ScratchCutter cutter(scratch_.of_thread(thread));
  if (chosen.in_blocks) {
    const BlockProduct product = block_product(weight, chosen, group.expert, group.n_rows);
    const BlockProduct::Epilogue epilogue{.finish = [&](const TileSums& sums, const RowBlock& block) {
      finish_block(matmul, plan, activations.row_scales, group, sums, block);
    }};
    product.multiply(packed, chunk.cut_group, chunk.first_tile, chunk.n_tiles, cutter, epilogue);
    return;
  }
  const std::span<std::byte> panel = cutter.take<std::byte>(panel_bytes(chosen));
  const bool in_passes = chosen.pass_columns < weight.k_padded;
  const std::span<float> pass_sums =
      cutter.take<float>(in_passes ? static_cast<std::size_t>(n_rows * kTilePair * kTileRows) : 0);
  const std::int64_t panel_tiles = n_rows == 1 ? kOneRowTiles : kTilePair;
  alignas(64) float block_sums[kOneRowTiles * kTileRows];
  for (std::int64_t tile = chunk.first_tile; tile < end_tile; tile += panel_tiles) {
    const std::int64_t n_tiles = std::min(panel_tiles, end_tile - tile);
    const std::int64_t c_stride = n_tiles * kTileRows;
    const std::int64_t packed_tile = group.expert * weight.n_tiles + tile;
    for (std::int64_t k = 0; k < weight.k_padded; k += chosen.pass_columns) {
      const std::int64_t n_columns = std::min(chosen.pass_columns, weight.k_padded - k);
      // A tile's bytes are spread evenly over its columns.
      const std::byte* const from =
          weight.first + packed_tile * weight.tile_bytes + k * weight.tile_bytes / weight.k_padded;
      const Tiles tiles = unpack_tiles(chosen.unpacking, {from, weight.tile_bytes}, n_tiles, n_columns, panel);
      for (int block = 0; block < n_row_blocks(n_rows, kernel.max_rows); ++block) {
        const int first = row_block_begin(n_rows, kernel.max_rows, block);
        const int end = row_block_begin(n_rows, kernel.max_rows, block + 1);
        float* const sums = in_passes ? pass_sums.data() + first * c_stride : block_sums;
        const std::byte* const rows =
            packed + static_cast<std::size_t>(first) * packed_row_bytes(kernel, weight.k_padded);
        kernel.multiply({.a = rows + static_cast<std::size_t>(k * (end - first)) * bytes_of(kernel.act),
                         .n_rows = end - first,
                         .tiles = tiles.first,
                         .tile_bytes = tiles.tile_bytes,
                         .n_tiles = n_tiles,
                         .k = n_columns,
                         .c = sums,
                         .c_stride = c_stride,
                         .accumulate = k > 0,
                         .row_sums = weight.row_sums == nullptr ? nullptr : weight.row_sums + packed_tile * kTileRows});
        if (k + n_columns < weight.k_padded) continue;
        finish_block(matmul, plan, activations.row_scales, group, {sums, tile, n_tiles, c_stride},
                     {first, end - first, rows});
      }
    }
  }
}

void MixtureRunner::finish_block(const RoutedMatmul& matmul, const Plan& plan, const float* row_scales,
                                 const ExpertGroup& group, const TileSums& sums, const RowBlock& block) const {
  const ExpertTiles& weight = matmul.weight;
  const GroupKernel chosen = kernel_for(weight, group.n_rows);
  const bool is_scaled = has_row_scale(chosen.kernel.act);
  const std::int64_t column = sums.first_tile / weight.tiles_per_column * kTileRows;
  const std::int64_t packed_row = (group.expert * weight.n_tiles + sums.first_tile) * kTileRows;
  const float* bias = matmul.bias;
  if (bias != nullptr) bias += group.expert * matmul.out.cols() * weight.tiles_per_column + column;
  FinishArgs finish{.c_stride = sums.c_stride,
                    .n_rows = 1,
                    .n_cols = std::min(sums.n_tiles / weight.tiles_per_column * kTileRows, matmul.out.cols() - column),
                    .out_stride = matmul.out.stride(),
                    .weight_scales = weight.scales == nullptr ? nullptr : weight.scales + packed_row,
                    .bias = bias,
                    .up_bias = bias == nullptr ? nullptr : bias + matmul.out.cols(),
                    .finish = matmul.finish,
                    .past_caches = chosen.in_blocks && plan.n_rows() * matmul.out.cols() * std::int64_t{sizeof(float)} >
                                                           second_level_cache_bytes()};
  // Adjacent rows of the plan are not adjacent in the output, so each is finished by a call of its own.
  for (int row = 0; row < block.n_rows; ++row) {
    const std::int64_t at = group.first + block.first + row;
    finish.c = sums.c + row * sums.c_stride;
    finish.out = matmul.out.row(plan.rows[static_cast<std::size_t>(at)]).data() + column;
    if (is_scaled) finish.row_scales = row_scales + at;
    table_.finish(finish);
  }
}

void MixtureRunner::multiply(const RoutedMatmul& matmul, Plan& plan) {
  const ExpertTiles& weight = matmul.weight;
  SS_CHECK(weight.k_padded % kernel_for(weight, 1).kernel.k_multiple == 0, "a weight's padding fits its kernel");
  plan_blocks(weight, plan);
  const PackedActivations activations = place_activations(scratch_.activations(), plan.n_rows());
  pack_rows(matmul, plan, activations);
  if (plan.blocks.size() > plan.groups.size()) {
    plan_chunks(weight, plan);
    pool_.run(static_cast<std::int64_t>(plan.chunks.size()), [&](std::int64_t chunk, int thread) {
      multiply_chunk(matmul, plan, activations, plan.chunks[static_cast<std::size_t>(chunk)], thread);
    });
    return;
  }
  // An item is a pair of tiles: gate and up are finished together, and several rows take two tiles.
  const std::int64_t n_pairs = ceil_divide(weight.n_tiles, kTilePair);
  const std::int64_t n_items = static_cast<std::int64_t>(plan.groups.size()) * n_pairs;
  const auto multiply_items = [&](std::int64_t first, std::int64_t end, int thread) {
    while (first < end) {
      const std::int64_t first_tile = first % n_pairs * kTilePair;
      const std::int64_t n_tiles = std::min(weight.n_tiles - first_tile, (end - first) * kTilePair);
      multiply_chunk(matmul, plan, activations,
                     {.group = first / n_pairs, .first_tile = first_tile, .n_tiles = n_tiles}, thread);
      first += ceil_divide(n_tiles, kTilePair);
    }
  };
  pool_.run_ranges(n_items, slice_items(n_items, kTilePair * weight.tile_bytes, pool_.n_threads()), multiply_items);
}

MixtureRunner::ChoiceScratch MixtureRunner::cut_choice(std::span<std::byte> scratch, const Route& op,
                                                       std::int64_t n_experts) {
  ScratchCutter cutter(scratch);
  ChoiceScratch choice;
  choice.order = cutter.take<std::int32_t>(static_cast<std::size_t>(n_experts));
  choice.merits = cutter.take<double>(static_cast<std::size_t>(n_experts));
  choice.of_groups = cutter.take<double>(static_cast<std::size_t>(op.n_groups));
  return choice;
}

void MixtureRunner::judge_experts(const Route& op, std::span<const float> scores, const ChoiceScratch& scratch) const {
  const std::span<double> merits = scratch.merits;
  const bool sums_two = op.n_groups > 1 && op.group_score == GroupScore::kSumOfTwo;
  std::ranges::copy(scores, merits.begin());
  // In all other cases, the scores have the same order as the sigmoids or softmax weights that are made of them.
  if (op.score == RouteScore::kSigmoid && (op.choice_bias || sums_two)) {
    const float* const bias = bias_of(op.choice_bias);
    for (std::size_t i = 0; i < merits.size(); ++i) {
      merits[i] = 1.0 / (1.0 + std::exp(-merits[i])) + (bias == nullptr ? 0.0 : static_cast<double>(bias[i]));
    }
  } else if (sums_two) {
    const double row_max = *std::ranges::max_element(merits);
    for (double& merit : merits) merit = std::exp(merit - row_max);
  }
  if (op.n_groups == 1) return;
  const std::span<double> of_groups = scratch.of_groups;
  const std::size_t group_size = merits.size() / of_groups.size();
  for (std::size_t group = 0; group < of_groups.size(); ++group) {
    double best = -std::numeric_limits<double>::infinity();
    double second = best;
    for (const double merit : merits.subspan(group * group_size, group_size)) {
      second = std::max(second, std::min(best, merit));
      best = std::max(best, merit);
    }
    of_groups[group] = best + (sums_two ? second : 0.0);
  }
  // There are few groups, so the best one that is left is taken again and again. Experts of groups that are not taken get a merit of -inf.
  constexpr double kTaken = std::numeric_limits<double>::quiet_NaN();
  for (std::int32_t taken = 0; taken < op.n_top_groups; ++taken) {
    std::size_t best = of_groups.size();
    for (std::size_t group = 0; group < of_groups.size(); ++group) {
      if (std::isnan(of_groups[group])) continue;
      if (best == of_groups.size() || of_groups[group] > of_groups[best]) best = group;
    }
    of_groups[best] = kTaken;
  }
  for (std::size_t group = 0; group < of_groups.size(); ++group) {
    if (std::isnan(of_groups[group])) continue;
    std::ranges::fill(merits.subspan(group * group_size, group_size), -std::numeric_limits<double>::infinity());
  }
}

void MixtureRunner::choose_experts(const Route& op, const HostFrame& frame, std::int64_t token,
                                   std::span<const float> scores, const ChoiceScratch& scratch) const {
  const std::span<std::int32_t> order = scratch.order;
  const std::span<std::int32_t> expert = frame.value_i32(op.expert).row(token);
  const std::span<float> weight = frame.value(op.weight).row(token);
  const auto n_top = static_cast<std::size_t>(op.n_top);
  std::iota(order.begin(), order.end(), 0);
  const auto score = [&](std::int32_t e) { return scores[static_cast<std::size_t>(e)]; };
  // A row with NaN scores cannot be sorted: it takes the first experts, with weights of NaN.
  const bool has_nan = std::ranges::any_of(scores, [](float value) { return std::isnan(value); });
  if (!has_nan) {
    judge_experts(op, scores, scratch);
    const auto merit = [&](std::int32_t e) { return scratch.merits[static_cast<std::size_t>(e)]; };
    std::ranges::partial_sort(order, order.begin() + op.n_top, [&](std::int32_t a, std::int32_t b) {
      return merit(a) > merit(b) || (merit(a) == merit(b) && a < b);
    });
  }
  const float row_max = *std::ranges::max_element(scores);
  const bool is_sigmoid = op.score == RouteScore::kSigmoid;
  const auto power = [&](std::size_t i) {
    if (is_sigmoid) return 1.0 / (1.0 + std::exp(-static_cast<double>(score(order[i]))));
    return std::exp(static_cast<double>(score(order[i]) - row_max));
  };
  double sum = is_sigmoid && !op.renormalize ? 1.0 : 0.0;
  const std::size_t n_summed = op.renormalize ? n_top : is_sigmoid ? 0 : order.size();
  for (std::size_t i = 0; i < n_summed; ++i) sum += power(i);
  for (std::size_t j = 0; j < n_top; ++j) {
    expert[j] = order[j];
    weight[j] = has_nan ? std::numeric_limits<float>::quiet_NaN()
                        : static_cast<float>(power(j) / sum * static_cast<double>(op.scale));
  }
}

void MixtureRunner::run(const Route& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  if (x.rows() == 0) return;
  const std::int64_t n_experts = weights_.at(op.gate).spec.n_rows;
  plan_router(x.rows(), plan_);
  const MatrixView<float> scores(scratch_.partials().data(), x.rows(), n_experts);
  multiply({.weight = router_tiles(op.gate),
            .x = x,
            .out = scores,
            .finish = op.bias ? Finish::kBias : Finish::kNone,
            .bias = bias_of(op.bias)},
           plan_);
  const auto choose = [&](std::int64_t token, int thread) {
    choose_experts(op, frame, token, scores.row(token), cut_choice(scratch_.of_thread(thread), op, n_experts));
  };
  if (x.rows() * n_experts <= kSerialValues) {
    for (std::int64_t token = 0; token < x.rows(); ++token) choose(token, 0);
  } else {
    pool_.run(x.rows(), choose);
  }
}

void MixtureRunner::run(const HeadMatmul& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  if (x.rows() == 0) return;
  const WeightSpec& spec = weights_.at(op.weights).spec;
  const std::int64_t n_rows = x.rows() * op.n_heads;
  const std::int64_t n_products = spec.n_rows / op.n_heads;
  const std::int64_t x_dim = x.cols() / op.n_heads;
  const std::int64_t out_dim = out.cols() / op.n_heads;
  plan_heads(x.rows(), op.n_heads, plan_);
  multiply({.weight = expert_tiles(op.weights, ActQuant::kNone),
            .x = {x.data(), n_rows, spec.n_cols, x_dim},
            .out = {out.data(), n_rows, n_products, out_dim}},
           plan_);
  const std::int64_t n_copied = x_dim - spec.n_cols;
  const auto copy = [&](std::int64_t token, int) {
    for (std::int64_t row = token * op.n_heads; row < (token + 1) * op.n_heads; ++row) {
      std::copy_n(x.data() + row * x_dim + spec.n_cols, n_copied, out.data() + row * out_dim + n_products);
    }
  };
  if (n_rows * n_copied <= 2 * kSerialValues) {
    for (std::int64_t token = 0; n_copied > 0 && token < x.rows(); ++token) copy(token, 0);
  } else {
    pool_.run(x.rows(), copy);
  }
}

Result<void> MixtureRunner::run(const GroupedMatmul& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const WeightSpec& spec = weights_.at(op.weights).spec;
  if (x.rows() == 0) return {};
  SS_TRY_VOID(plan_experts(frame.value_i32(op.expert), spec.n_experts, plan_));
  const std::int64_t n_rows = x.rows() * op.n_top;
  const std::int64_t rows_per_x = has_x_per_expert(op) ? 1 : op.n_top;
  const MatrixView<const float> inputs(x.data(), n_rows / rows_per_x, spec.n_cols);
  if (!op.weight) {
    multiply({.weight = expert_tiles(op.weights, op.act, op.act_scale),
              .x = inputs,
              .rows_per_x = rows_per_x,
              .out = {out.data(), n_rows, out.cols() / op.n_top},
              .finish = finish_of(op),
              .bias = bias_of(op.bias)},
             plan_);
    return {};
  }
  const MatrixView<float> products(scratch_.partials().data(), n_rows, out.cols());
  multiply({.weight = expert_tiles(op.weights, op.act, op.act_scale),
            .x = inputs,
            .rows_per_x = rows_per_x,
            .out = products,
            .finish = finish_of(op),
            .bias = bias_of(op.bias)},
           plan_);
  add_experts(op, frame, products);
  return {};
}

void MixtureRunner::add_experts(const GroupedMatmul& op, const HostFrame& frame, const MatrixView<float>& products) {
  const MatrixView<float> out = frame.value(op.out);
  const MatrixView<float> share = frame.value(*op.weight);
  const auto add = [&](std::int64_t token, int) {
    const std::span<float> total = out.row(token);
    if (!op.aux) {
      std::ranges::fill(total, 0.0F);
    } else if (*op.aux != op.out) {
      std::ranges::copy(frame.value(*op.aux).row(token), total.begin());
    }
    for (std::int64_t j = 0; j < op.n_top; ++j) {
      const std::span<const float> row = products.row(token * op.n_top + j);
      const float factor = share(token, j);
      for (std::size_t i = 0; i < total.size(); ++i) total[i] += factor * row[i];
    }
  };
  if (products.rows() * out.cols() <= 2 * kSerialValues) {
    for (std::int64_t token = 0; token < out.rows(); ++token) add(token, 0);
  } else {
    pool_.run(out.rows(), add);
  }
}

}  // namespace secondsource::cpu
