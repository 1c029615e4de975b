#include "gpu/host/step_products.h"

#include <fmt/format.h>

#include <optional>
#include <set>

#include "core/checked.h"

namespace secondsource::gpu {
namespace {

/// The library's product type for this weight; none if the library does not support it.
std::optional<ProductType> library_type(WeightEncoding encoding, ActQuant act) {
  if (has_int8_values(act) && encoding == WeightEncoding::kInt8PerRow) return ProductType::kInt8;
  if (act == ActQuant::kNone && encoding == WeightEncoding::kBf16) return ProductType::kBf16;
  if (act == ActQuant::kNone && encoding == WeightEncoding::kF16) return ProductType::kF16;
  return std::nullopt;
}

const char* accumulator_name(ActQuant act) {
  if (act == ActQuant::kNone) return "f32acc";
  if (has_int8_values(act)) return "w8a8_i32acc";
  return act == ActQuant::kNvfp4Static ? "nvfp4_f32acc" : "e4m3_f32acc";
}

/// Bytes of a value of x in the type that our kernels multiply; 0 where dot products read it as it is.
std::size_t own_value_bytes(ActQuant act, bool by_tiles) {
  if (has_int8_values(act)) return sizeof(std::int8_t);
  return act != ActQuant::kNone || by_tiles ? sizeof(Bf16) : 0;
}

/// With group scales and int8 activations the int32 sum of each group of 32 columns is scaled separately, and with kFp8Group128 the f32
/// sum of each group of 128. wgmma would have to be waited for after every group, since it accumulates from step to step. 128 x 128
/// tiles of mma and its like need a second set of accumulators, for which gfx1100 has too few registers; on other targets this was not
/// measured.
bool may_have_large_tiles(const WeightView& weight, ActQuant act) {
  if (weight.encoding == WeightEncoding::kFp8Group128) return false;
  return act == ActQuant::kNone || weight.encoding != WeightEncoding::kInt8Group32;
}

/// Whether products of heads support these tiles. Such a product has so few K steps that filling the stages of a large tile would hardly
/// pay, which was not measured.
bool has_head_tiles(MatmulTiles tiles) {
  return tiles == MatmulTiles::k16x64 || tiles == MatmulTiles::k64x64;
}

/// The type that x is converted to before a product that reads `narrow_x`.
NarrowTo narrow_to(ActQuant act, const DeviceProperties& device) {
  if (act == ActQuant::kNone) return device.has_f16_tiles ? NarrowTo::kF16 : NarrowTo::kBf16;
  if (act == ActQuant::kFp8PerGroup128) return NarrowTo::kE4m3Groups;
  if (act == ActQuant::kFp8PerGroup128E8m0) return NarrowTo::kE4m3GroupsE8m0;
  if (act == ActQuant::kNvfp4Static) return NarrowTo::kNvfp4;
  return NarrowTo::kE4m3;
}

/// The kernel's name in reports: "tiled_matmul_16x64_k4" has four blocks that share K.
std::string own_name(std::int32_t n_rows, const MatmulPlan& plan) {
  if (n_rows <= kMatvecRows) return "matvec";
  std::string name = fmt::format("tiled_matmul_{}", to_string(plan.tiles));
  if (plan.n_splits > 1) name += fmt::format("_k{}", plan.n_splits);
  return name;
}

/// Arguments of narrow_rows for a.x of MatmulArguments or GroupedMatmulArguments. `scales`: null for BF16.
template <typename Arguments>
NarrowRowsArguments narrow_x(const Arguments& a, const WeightView& weight, std::int32_t rows_per_token, std::byte* out,
                             float* scales, NarrowTo to, float static_scale) {
  return {.n_tokens = a.n_rows,
          .x = a.x,
          .out = reinterpret_cast<std::uint16_t*>(out),
          .scales = scales,
          .to = to,
          .static_scale = static_scale,
          .rows_per_token = rows_per_token,
          .n_cols = weight.n_cols,
          .x_stride = weight.n_cols,
          .padded_cols = weight.padded_cols,
          .by_vecs = make_divisor(weight.padded_cols / 8),
          .max_tokens = a.max_rows};
}

/// Arguments of quantize_rows for a.x of MatmulArguments or GroupedMatmulArguments.
template <typename Arguments>
QuantizeRowsArguments quantize_x(const Arguments& a, const WeightView& weight, std::int32_t rows_per_token,
                                 std::byte* out, float* scales, float static_scale) {
  return {.n_tokens = a.n_rows,
          .x = a.x,
          .q = reinterpret_cast<std::int8_t*>(out),
          .scales = scales,
          .static_scale = static_scale,
          .rows_per_token = rows_per_token,
          .n_cols = weight.n_cols,
          .padded_cols = weight.padded_cols,
          .max_tokens = a.max_rows};
}

/// Bytes of a row in the type that tiles multiply.
std::int32_t row_bytes_of(const WeightView& weight, ActQuant act) {
  return weight.padded_cols * static_cast<std::int32_t>(own_value_bytes(act, true));
}

}  // namespace

ProductScratch product_scratch(std::int64_t n_rows, const WeightView& weight, std::size_t value_bytes) {
  const auto rows = static_cast<std::size_t>(n_rows);
  ProductScratch scratch;
  scratch.scales = round_up(rows * static_cast<std::size_t>(weight.padded_cols) * value_bytes, kWorkspaceAlignment);
  const std::int32_t n_scales = weight.encoding == WeightEncoding::kFp8Group128 ? n_wide_groups(weight.n_cols) : 1;
  scratch.bytes = scratch.scales + rows * static_cast<std::size_t>(n_scales) * sizeof(float);
  return scratch;
}

ProductScratch StepProducts::library_scratch(const Matmul& op, const LibraryUse& use) const {
  const WeightView& weight = weights_.view(op.weight);
  const auto rows = static_cast<std::size_t>(values_.max_rows_of(op.x));
  ProductScratch scratch = product_scratch(values_.max_rows_of(op.x), weight, use.type == ProductType::kInt8 ? 1 : 2);
  scratch.sums = round_up(scratch.bytes, kWorkspaceAlignment);
  const std::size_t sum_bytes = use.is_direct ? 0 : rows * static_cast<std::size_t>(weight.n_rows) * sizeof(float);
  scratch.workspace = round_up(scratch.sums + sum_bytes, kWorkspaceAlignment);
  scratch.bytes = scratch.workspace + use.plan->workspace_bytes();
  return scratch;
}

MatmulExtent StepProducts::extent_of(const Matmul& op) const {
  const WeightView& weight = weights_.view(op.weight);
  return {.n_rows = values_.max_rows_of(op.x), .n_outputs = weight.n_rows, .row_bytes = row_bytes_of(weight, op.act)};
}

MatmulPlan StepProducts::tile_plan(const Matmul& op) const {
  const WeightView& weight = weights_.view(op.weight);
  const MatmulExtent extent = extent_of(op);
  const MatmulDevice device = matmul_device(weight, op.act);
  const auto forced = forced_tiles(weight, op.act, TilesOf::kProduct);
  if (!forced) return plan_matmul(extent, device);
  if (*forced == MatmulTiles::kStreamK128x256) return plan_stream_k(extent, device.n_processors);
  if (in_clusters(*forced)) return plan_clusters(*forced, extent, device.n_processors);
  return plan_of(*forced, extent);
}

MatmulDevice StepProducts::matmul_device(const WeightView& weight, ActQuant act) const {
  const DeviceProperties& device = shared_.memory->device().properties();
  return {.n_processors = device.n_processors,
          .has_warpgroups = device.has_warpgroups,
          .has_large_tiles = may_have_large_tiles(weight, act),
          .copies_weight = has_int8_values(act) || weight.encoding == WeightEncoding::kBf16};
}

std::optional<MatmulTiles> StepProducts::forced_tiles(const WeightView& weight, ActQuant act, TilesOf of) const {
  if (!why_other_tiles(weight, act, of).empty()) return std::nullopt;
  return shared_.options.tiles;
}

std::string StepProducts::why_other_tiles(const WeightView& weight, ActQuant act, TilesOf of) const {
  const std::optional<MatmulTiles> tiles = shared_.options.tiles;
  if (!tiles) return "";
  const auto because = [&](std::string_view reason) { return fmt::format("tiles={}: {}", to_string(*tiles), reason); };
  if (is_large(*tiles) && !may_have_large_tiles(weight, act)) {
    return because(by_warpgroups(*tiles) ? "sums of warpgroups take no scales of groups"
                                         : "sums of groups need the registers of smaller tiles");
  }
  if (!is_on_request(*tiles)) return "";
  if (of == TilesOf::kExperts) return because("experts' products have other tiles");
  return matmul_device(weight, act).copies_weight ? "" : because("weights that are decoded have other tiles");
}

ProductScratch StepProducts::own_scratch(const Matmul& op) const {
  const WeightView& weight = weights_.view(op.weight);
  const std::int32_t rows = values_.max_rows_of(op.x);
  const std::size_t value_bytes = own_value_bytes(op.act, rows > kMatvecRows);
  if (value_bytes == 0) return {};
  ProductScratch scratch = product_scratch(rows, weight, value_bytes);
  if (rows <= kMatvecRows) return scratch;
  const MatmulPlan plan = tile_plan(op);
  const bool is_stream_k = plan.tiles == MatmulTiles::kStreamK128x256;
  if (plan.n_splits == 1 && !is_stream_k) return scratch;
  scratch.sums = round_up(scratch.bytes, kWorkspaceAlignment);
  if (is_stream_k) {
    scratch.bytes = scratch.sums + stream_k_scratch(extent_of(op), plan).partial_bytes;
    return scratch;
  }
  scratch.bytes = scratch.sums + static_cast<std::size_t>(plan.n_splits) * static_cast<std::size_t>(rows) *
                                     static_cast<std::size_t>(weight.n_rows) * sizeof(float);
  return scratch;
}

Result<OpGroup> StepProducts::choose(const Matmul& op) {
  const WeightView& weight = weights_.view(op.weight);
  const std::int32_t rows = values_.max_rows_of(op.x);
  const GpuOptions& options = shared_.options;
  const std::string encoding(to_string(weight.encoding));
  const char* const suffix = accumulator_name(op.act);
  OpGroup group;
  const std::optional<ProductType> type = library_type(weight.encoding, op.act);
  const bool has_rows = options.matmul == MatmulBy::kLibrary ? rows > kMatvecRows : rows >= kLibraryRows;
  if (options.vendor_library && type && has_rows) {
    // The library multiplies all rows of the bucket, including padding. It may write to the output only if no guard checks
    // those rows.
    const bool is_plain = op.epilogue == Epilogue::kNone || op.epilogue == Epilogue::kAddResidual;
    LibraryUse use{.plan = nullptr,
                   .type = *type,
                   .is_direct = *type == ProductType::kBf16 && is_plain && op.softcap == 0.0F && !options.guards};
    auto plan = options.vendor_library->plan({.type = *type,
                                              .n_rows = rows,
                                              .n_cols = weight.n_rows,
                                              .n_inner = weight.padded_cols,
                                              .adds = use.is_direct && op.epilogue == Epilogue::kAddResidual});
    if (plan) {
      use.plan = std::move(plan).value();
      group.kernel =
          fmt::format("{}_{}_{}_{}", options.vendor_library->name(), encoding, suffix, use.plan->algorithm());
      library_uses_.emplace(&op, std::move(use));
      return group;
    }
    if (options.matmul == MatmulBy::kLibrary) return plan.error().with_context("matmul=library");
    group.fallback = plan.error().message;
  }
  group.kernel = fmt::format("{}_{}_{}", own_name(rows, tile_plan(op)), encoding, suffix);
  if (rows > kMatvecRows && group.fallback.empty()) {
    group.fallback = why_other_tiles(weight, op.act, TilesOf::kProduct);
  }
  return group;
}

LibraryOperands StepProducts::library_operands(const Matmul& op, const LibraryUse& use) const {
  const ProductScratch layout = library_scratch(op, use);
  return {
      .x = values_.scratch(),
      .weight = weights_.view(op.weight).values,
      .added = op.aux ? values_.address(*op.aux) : nullptr,
      .sums = use.is_direct ? reinterpret_cast<std::byte*>(values_.address(op.out)) : values_.scratch() + layout.sums,
      .workspace = values_.scratch() + layout.workspace};
}

Result<void> StepProducts::warm_library() {
  std::set<const LibraryPlan*> done;
  Stream& stream = shared_.memory->stream();
  for (const auto& [op, use] : library_uses_) {
    if (!done.insert(use.plan.get()).second) continue;
    SS_TRY_VOID(use.plan->launch(stream, library_operands(*op, use)));
  }
  if (done.empty()) return {};
  shared_.workspace_owner = nullptr;
  return stream.synchronize();
}

StepLaunch StepProducts::bind_library(const Matmul& op, const LibraryUse& use, MatmulArguments a) const {
  const KernelTable& kernels = shared_.kernels;
  const LibraryOperands operands = library_operands(op, use);
  auto* const scales = reinterpret_cast<float*>(values_.scratch() + library_scratch(op, use).scales);
  if (use.type != ProductType::kBf16) a.x_scales = scales;
  const QuantizeRowsArguments quantize = quantize_x(a, a.weight, 1, values_.scratch(), scales, op.act_scale);
  const NarrowRowsArguments narrow = use.type == ProductType::kF16
                                         ? narrow_x(a, a.weight, 1, values_.scratch(), scales, NarrowTo::kF16, 0.0F)
                                         : narrow_x(a, a.weight, 1, values_.scratch(), nullptr, NarrowTo::kBf16, 0.0F);
  const bool is_int8 = use.type == ProductType::kInt8;
  const FinishProductArguments finish{.product = a, .sums = operands.sums, .int32_sums = is_int8 ? 1 : 0};
  return [&kernels, plan = use.plan, is_direct = use.is_direct, is_int8, operands, quantize, narrow, finish](
             const LaunchContext& context, const BatchUpload::Work&) -> Result<void> {
    SS_TRY_VOID(is_int8 ? kernels.quantize_rows(context, quantize) : kernels.narrow_rows(context, narrow));
    SS_TRY_VOID(plan->launch(context.stream, operands));
    if (is_direct) return {};
    return kernels.finish_product(context, finish);
  };
}

template <typename Arguments>
StepLaunch StepProducts::bind_product(ProductLauncher<Arguments> multiply, const Arguments& arguments,
                                      const WeightView& weight, ActQuant act, float act_scale,
                                      std::int32_t rows_per_token, bool by_tiles) const {
  Arguments a = arguments;
  if (act == ActQuant::kNone && !by_tiles) {
    return [multiply, a](const LaunchContext& context, const BatchUpload::Work&) { return multiply(context, a); };
  }
  const ProductScratch layout =
      product_scratch(std::int64_t{a.max_rows} * rows_per_token, weight, own_value_bytes(act, by_tiles));
  auto* const scales = reinterpret_cast<float*>(values_.scratch() + layout.scales);
  if (!has_int8_values(act)) {
    a.narrow_x = reinterpret_cast<const Bf16*>(values_.scratch());
    a.narrow_to = narrow_to(act, shared_.memory->device().properties());
    if (a.narrow_to != NarrowTo::kBf16) a.x_scales = scales;
    const NarrowRowsArguments narrow =
        narrow_x(a, weight, rows_per_token, values_.scratch(), a.narrow_to == NarrowTo::kBf16 ? nullptr : scales,
                 a.narrow_to, act_scale);
    return [narrow_rows = shared_.kernels.narrow_rows, multiply, a, narrow](const LaunchContext& context,
                                                                            const BatchUpload::Work&) -> Result<void> {
      SS_TRY_VOID(narrow_rows(context, narrow));
      return multiply(context, a);
    };
  }
  a.x_scales = scales;
  const QuantizeRowsArguments quantize = quantize_x(a, weight, rows_per_token, values_.scratch(), scales, act_scale);
  a.quantized_x = quantize.q;
  return [quantize_rows = shared_.kernels.quantize_rows, multiply, a, quantize](
             const LaunchContext& context, const BatchUpload::Work&) -> Result<void> {
    SS_TRY_VOID(quantize_rows(context, quantize));
    return multiply(context, a);
  };
}

bool StepProducts::may_normalize(const RmsNorm& norm, const Matmul& op) const {
  if (norm.add || norm.sum_out || norm.residual || norm.bias || norm.centers) return false;
  if (op.act != ActQuant::kNone || values_.max_rows_of(op.x) > kMatvecRows) return false;
  // Blocks that have finished write their outputs while other blocks still read the norm's input.
  return !values_.overlap(norm.x, op.out);
}

MatmulArguments StepProducts::arguments_of(const Matmul& op, const BatchUpload& upload) const {
  return {.n_rows = StepValues::n_rows(upload, values_.desc(op.x).rows),
          .x = values_.address(op.x),
          .narrow_x = nullptr,
          .quantized_x = nullptr,
          .x_scales = nullptr,
          .weight = weights_.view(op.weight),
          .out = values_.address(op.out),
          .aux = op.aux ? values_.address(*op.aux) : nullptr,
          .bias = op.bias ? weights_.vector(*op.bias) : nullptr,
          .softcap = op.softcap,
          .epilogue = op.epilogue,
          .max_rows = values_.max_rows_of(op.x),
          .plan = {},
          .partial = nullptr};
}

StepLaunch StepProducts::bind(const RmsNorm& norm, const Matmul& op, const BatchUpload& upload) const {
  MatmulArguments a = arguments_of(op, upload);
  a.x = values_.address(norm.x);
  a.norm_weight = weights_.vector(norm.weight);
  a.norm_eps = norm.eps;
  return [multiply = shared_.kernels.matmul, a](const LaunchContext& context, const BatchUpload::Work&) {
    return multiply(context, a);
  };
}

std::int32_t StepProducts::n_block_counters(const Matmul& op) const {
  if (library_uses_.contains(&op) || values_.max_rows_of(op.x) <= kMatvecRows) return 0;
  const MatmulPlan plan = tile_plan(op);
  return plan.tiles == MatmulTiles::kStreamK128x256 ? stream_k_scratch(extent_of(op), plan).n_counters : 0;
}

StepLaunch StepProducts::bind(const Matmul& op, const BatchUpload& upload, const DeviceBuffer& block_counters) const {
  const WeightView& weight = weights_.view(op.weight);
  MatmulArguments a = arguments_of(op, upload);
  if (const auto use = library_uses_.find(&op); use != library_uses_.end()) return bind_library(op, use->second, a);
  const ProductScratch layout = own_scratch(op);
  a.plan = tile_plan(op);
  a.partial = reinterpret_cast<std::int32_t*>(values_.scratch() + layout.sums);
  if (a.plan.tiles == MatmulTiles::kStreamK128x256) a.n_arrived = block_counters.as<std::uint32_t>();
  const bool by_tiles = a.max_rows > kMatvecRows;
  if (by_tiles && in_clusters(a.plan.tiles)) return bind_clusters(op, a);
  return bind_product(shared_.kernels.matmul, a, weight, op.act, op.act_scale, 1, by_tiles);
}

StepLaunch StepProducts::bind_clusters(const Matmul& op, const MatmulArguments& arguments) const {
  const WeightView& weight = arguments.weight;
  const TiledMatrix x{.values = values_.scratch(),
                      .value_bytes = static_cast<std::int32_t>(own_value_bytes(op.act, true)),
                      .n_rows = arguments.max_rows,
                      .n_cols = weight.padded_cols,
                      .row_bytes = row_bytes_of(weight, op.act),
                      .tile_rows = kClusterXRows};
  const TiledMatrix weights{.values = weight.values,
                            .value_bytes = x.value_bytes,
                            .n_rows = weight.n_rows,
                            .n_cols = weight.padded_cols,
                            .row_bytes = weight.row_bytes,
                            .tile_rows = cluster_weight_rows(arguments.plan.tiles)};
  Device& device = shared_.memory->device();
  const Result<TensorMap> x_map = device.tensor_map(x);
  const Result<TensorMap> weight_map = device.tensor_map(weights);
  if (!x_map || !weight_map) {
    const Error error = (x_map ? weight_map.error() : x_map.error())
                            .with_context(fmt::format("tiles={}", to_string(arguments.plan.tiles)));
    return [error](const LaunchContext&, const BatchUpload::Work&) -> Result<void> { return error; };
  }
  return bind_product(shared_.kernels.cluster_matmul, ClusterMatmulArguments{arguments, *x_map, *weight_map}, weight,
                      op.act, op.act_scale, 1, true);
}

std::optional<MatmulTiles> StepProducts::head_tiles(const HeadMatmul& op) const {
  const std::int32_t rows = values_.max_rows_of(op.x);
  const std::int32_t x_stride = values_.desc(op.x).cols / op.n_heads;
  // Dot products read x 16 bytes at a time, so that every head must begin at a multiple of 16 bytes.
  if (rows <= kMatvecRows && x_stride * sizeof(float) % sizeof(float[4]) == 0) return std::nullopt;
  const std::optional<MatmulTiles> forced = shared_.options.tiles;
  if (forced && has_head_tiles(*forced)) return forced;
  return rows <= block_rows(MatmulTiles::k16x64) ? MatmulTiles::k16x64 : MatmulTiles::k64x64;
}

OpGroup StepProducts::describe(const HeadMatmul& op) const {
  const std::optional<MatmulTiles> tiles = head_tiles(op);
  const std::optional<MatmulTiles> forced = shared_.options.tiles;
  OpGroup group{.ops = {}, .kernel = {}, .fallback = ""};
  group.kernel = fmt::format("{}_{}_f32acc", tiles ? fmt::format("head_tiles_{}", to_string(*tiles)) : "head_matvec",
                             to_string(weights_.view(op.weights).encoding));
  if (tiles && forced && !has_head_tiles(*forced)) {
    group.fallback = fmt::format("tiles={}: products of heads have tiles of 16x64 and 64x64 alone", to_string(*forced));
  }
  return group;
}

std::size_t StepProducts::scratch_bytes(const HeadMatmul& op) const {
  if (!head_tiles(op)) return 0;
  return product_scratch(std::int64_t{values_.max_rows_of(op.x)} * op.n_heads, weights_.view(op.weights), sizeof(Bf16))
      .bytes;
}

StepLaunch StepProducts::bind(const HeadMatmul& op, const BatchUpload& upload) const {
  const WeightView& weights = weights_.view(op.weights);
  const std::int32_t x_stride = values_.desc(op.x).cols / op.n_heads;
  HeadMatmulArguments a{.n_rows = StepValues::n_rows(upload, values_.desc(op.x).rows),
                        .x = values_.address(op.x),
                        .narrow_x = nullptr,
                        .x_scales = nullptr,
                        .narrow_to = narrow_to(ActQuant::kNone, shared_.memory->device().properties()),
                        .weights = weights,
                        .out = values_.address(op.out),
                        .n_heads = op.n_heads,
                        .n_outputs = weights.n_rows / op.n_heads,
                        .n_copied = x_stride - weights.n_cols,
                        .x_stride = x_stride,
                        .out_stride = values_.desc(op.out).cols / op.n_heads,
                        .max_rows = values_.max_rows_of(op.x),
                        .tiles = {}};
  const std::optional<MatmulTiles> tiles = head_tiles(op);
  if (!tiles) {
    return [multiply = shared_.kernels.head_matmul, a](const LaunchContext& context, const BatchUpload::Work&) {
      return multiply(context, a);
    };
  }
  a.tiles = *tiles;
  a.narrow_x = reinterpret_cast<const Bf16*>(values_.scratch());
  const ProductScratch layout = product_scratch(std::int64_t{a.max_rows} * op.n_heads, weights, sizeof(Bf16));
  float* const scales =
      a.narrow_to == NarrowTo::kF16 ? reinterpret_cast<float*>(values_.scratch() + layout.scales) : nullptr;
  a.x_scales = scales;
  NarrowRowsArguments narrow = narrow_x(a, weights, op.n_heads, values_.scratch(), scales, a.narrow_to, 0.0F);
  narrow.x_stride = x_stride;
  return
      [&kernels = shared_.kernels, a, narrow](const LaunchContext& context, const BatchUpload::Work&) -> Result<void> {
        SS_TRY_VOID(kernels.narrow_rows(context, narrow));
        return kernels.head_matmul(context, a);
      };
}

GroupedExtent StepProducts::extent_of(const GroupedMatmul& op) const {
  const auto n_experts =
      static_cast<std::int32_t>(weights_.specs()[static_cast<std::size_t>(index_of(op.weights))].n_experts);
  return {.n_rows = values_.max_rows_of(op.x) * op.n_top,
          .n_experts = n_experts,
          .n_expert_rows = weights_.view(op.weights).n_rows / n_experts,
          .row_bytes = row_bytes_of(weights_.view(op.weights), op.act)};
}

std::optional<MatmulTiles> StepProducts::grouped_tiles(const GroupedMatmul& op) const {
  if (values_.max_rows_of(op.x) <= kMatvecRows) return std::nullopt;
  const WeightView& weights = weights_.view(op.weights);
  if (const auto forced = forced_tiles(weights, op.act, TilesOf::kExperts)) return forced;
  return plan_grouped(extent_of(op), matmul_device(weights, op.act));
}

ProductScratch StepProducts::grouped_scratch(const GroupedMatmul& op) const {
  const WeightView& weights = weights_.view(op.weights);
  const GroupedExtent extent = extent_of(op);
  const std::int32_t n_rows_of_x = has_x_per_expert(op) ? extent.n_rows : values_.max_rows_of(op.x);
  const std::optional<MatmulTiles> tiles = grouped_tiles(op);
  const std::size_t value_bytes = own_value_bytes(op.act, tiles.has_value());
  if (value_bytes == 0) return {};
  ProductScratch scratch = product_scratch(n_rows_of_x, weights, value_bytes);
  if (!tiles) return scratch;
  scratch.by_expert = round_up(scratch.bytes, kWorkspaceAlignment);
  const auto max_tiles = static_cast<std::size_t>(max_grouped_tiles(extent, *tiles));
  const std::size_t n_numbers = max_tiles * static_cast<std::size_t>(block_rows(*tiles) + 1) + 1;
  scratch.bytes = scratch.by_expert + n_numbers * sizeof(std::int32_t);
  if (!op.weight) return scratch;
  scratch.sums = round_up(scratch.bytes, kWorkspaceAlignment);
  scratch.bytes = scratch.sums + static_cast<std::size_t>(extent.n_rows) *
                                     static_cast<std::size_t>(extent.n_expert_rows) * sizeof(float);
  return scratch;
}

OpGroup StepProducts::describe(const GroupedMatmul& op) const {
  const WeightView& weights = weights_.view(op.weights);
  const std::optional<MatmulTiles> tiles = grouped_tiles(op);
  return {
      .ops = {},
      .kernel = fmt::format("{}_{}_{}", tiles ? fmt::format("grouped_tiles_{}", to_string(*tiles)) : "grouped_matvec",
                            to_string(weights.encoding), accumulator_name(op.act)),
      .fallback = tiles ? why_other_tiles(weights, op.act, TilesOf::kExperts) : ""};
}

StepLaunch StepProducts::bind(const GroupedMatmul& op, const BatchUpload& upload) const {
  const WeightView& weights = weights_.view(op.weights);
  const GroupedExtent extent = extent_of(op);
  GroupedMatmulArguments a{.n_rows = StepValues::n_rows(upload, values_.desc(op.x).rows),
                           .x = values_.address(op.x),
                           .narrow_x = nullptr,
                           .quantized_x = nullptr,
                           .x_scales = nullptr,
                           .expert = reinterpret_cast<const std::int32_t*>(values_.address(op.expert)),
                           .share = op.weight ? values_.address(*op.weight) : nullptr,
                           .weights = weights,
                           .bias = op.bias ? weights_.vector(*op.bias) : nullptr,
                           .n_experts = extent.n_experts,
                           .n_expert_rows = extent.n_expert_rows,
                           .out = values_.address(op.out),
                           .aux = op.aux ? values_.address(*op.aux) : nullptr,
                           .epilogue = op.epilogue,
                           .n_top = op.n_top,
                           .by_top = make_divisor(op.n_top),
                           .x_per_expert = has_x_per_expert(op) ? 1 : 0,
                           .max_rows = values_.max_rows_of(op.x),
                           .tiles = {},
                           .by_expert = {},
                           .partial = nullptr};
  const std::optional<MatmulTiles> tiles = grouped_tiles(op);
  if (tiles) {
    const ProductScratch layout = grouped_scratch(op);
    const std::int32_t max_tiles = max_grouped_tiles(extent, *tiles);
    auto* const lists = reinterpret_cast<std::int32_t*>(values_.scratch() + layout.by_expert);
    a.tiles = *tiles;
    a.by_expert.rows = lists;
    a.by_expert.experts = a.by_expert.rows + std::int64_t{max_tiles} * block_rows(*tiles);
    a.by_expert.n_tiles = a.by_expert.experts + max_tiles;
    a.by_expert.max_tiles = max_tiles;
    a.partial = reinterpret_cast<float*>(values_.scratch() + layout.sums);
  }
  return bind_product(shared_.kernels.grouped_matmul, a, weights, op.act, op.act_scale,
                      has_x_per_expert(op) ? op.n_top : 1, tiles.has_value());
}

std::size_t StepProducts::scratch_bytes(const Matmul& op) const {
  const auto use = library_uses_.find(&op);
  return (use == library_uses_.end() ? own_scratch(op) : library_scratch(op, use->second)).bytes;
}

std::size_t StepProducts::scratch_bytes(const GroupedMatmul& op) const {
  return grouped_scratch(op).bytes;
}

}  // namespace secondsource::gpu
