// Launches the matrix products: of one weight, of the heads of attention, and of a mixture's experts.

#include <algorithm>

#include "core/checked.h"
#include "gpu/kernels/matmul_plan.h"
#include "vulkan/launchers.h"

namespace secondsource::vulkan {
namespace {

constexpr std::uint32_t kMatvecCode[] = {
#include "vulkan/spirv/matvec.inc"
};
constexpr std::uint32_t kTiledMatmulCode[] = {
#include "vulkan/spirv/tiled_matmul.inc"
};
constexpr std::uint32_t kTiledMatmulF16Code[] = {
#include "vulkan/spirv/tiled_matmul_f16.inc"
};
constexpr std::uint32_t kTiledMatmulInt8Code[] = {
#include "vulkan/spirv/tiled_matmul_int8.inc"
};
constexpr std::uint32_t kCombineMatmulCode[] = {
#include "vulkan/spirv/combine_matmul.inc"
};
constexpr std::uint32_t kHeadMatvecCode[] = {
#include "vulkan/spirv/head_matvec.inc"
};
constexpr std::uint32_t kHeadTilesCode[] = {
#include "vulkan/spirv/head_tiles.inc"
};
constexpr std::uint32_t kHeadTilesF16Code[] = {
#include "vulkan/spirv/head_tiles_f16.inc"
};
constexpr std::uint32_t kGroupedMatvecCode[] = {
#include "vulkan/spirv/grouped_matvec.inc"
};
constexpr std::uint32_t kGroupRowsCode[] = {
#include "vulkan/spirv/group_rows.inc"
};
constexpr std::uint32_t kGroupedTilesCode[] = {
#include "vulkan/spirv/grouped_tiles.inc"
};
constexpr std::uint32_t kGroupedTilesF16Code[] = {
#include "vulkan/spirv/grouped_tiles_f16.inc"
};
constexpr std::uint32_t kGroupedTilesInt8Code[] = {
#include "vulkan/spirv/grouped_tiles_int8.inc"
};
constexpr std::uint32_t kCombineExpertsCode[] = {
#include "vulkan/spirv/combine_experts.inc"
};

constexpr bool is_same(int constant, WeightEncoding encoding) {
  return constant == static_cast<int>(encoding);
}
static_assert(is_same(kEncodingF32, WeightEncoding::kF32) && is_same(kEncodingBf16, WeightEncoding::kBf16) &&
              is_same(kEncodingF16, WeightEncoding::kF16) && is_same(kEncodingInt8, WeightEncoding::kInt8PerRow) &&
              is_same(kEncodingInt8Group, WeightEncoding::kInt8Group32) &&
              is_same(kEncodingInt4, WeightEncoding::kInt4Group32) &&
              is_same(kEncodingFp8, WeightEncoding::kFp8PerRow) &&
              is_same(kEncodingInt4Zero, WeightEncoding::kInt4Group32Zero) &&
              is_same(kEncodingFp8Group, WeightEncoding::kFp8Group128) &&
              is_same(kEncodingMxfp4, WeightEncoding::kMxfp4Group32) &&
              is_same(kEncodingNvfp4, WeightEncoding::kNvfp4Group16));
static_assert(is_same(kEncodingQ2K, WeightEncoding::kQ2K) && is_same(kEncodingQ3K, WeightEncoding::kQ3K) &&
              is_same(kEncodingQ4K, WeightEncoding::kQ4K) && is_same(kEncodingQ5K, WeightEncoding::kQ5K) &&
              is_same(kEncodingQ6K, WeightEncoding::kQ6K) && is_same(kEncodingIq4Xs, WeightEncoding::kIq4Xs) &&
              is_same(kEncodingQ41, WeightEncoding::kQ41) && is_same(kEncodingQ50, WeightEncoding::kQ50) &&
              is_same(kEncodingQ51, WeightEncoding::kQ51) && is_same(kEncodingIq4Nl, WeightEncoding::kIq4Nl));

constexpr bool is_same(int constant, Epilogue epilogue) {
  return constant == static_cast<int>(epilogue);
}
static_assert(is_same(kEpilogueNone, Epilogue::kNone) && is_same(kEpilogueBias, Epilogue::kBias) &&
              is_same(kEpilogueGelu, Epilogue::kGelu) && is_same(kEpilogueAddResidual, Epilogue::kAddResidual) &&
              is_same(kEpilogueGatedSilu, Epilogue::kGatedSilu) && is_same(kEpilogueGatedGelu, Epilogue::kGatedGelu) &&
              is_same(kEpilogueGatedClampedSwish, Epilogue::kGatedClampedSwish));
// The constants of the clamped swish that kernels/epilogue.glsl has.
static_assert(kClampedSwish.limit == 7.0F && kClampedSwish.alpha == 1.702F);
// kernels/weight.glsl assumes that scales belong to groups of 32, 16 and 128 columns, and kernels/group_rows.comp counts the rows of up to
// 512 experts in shared memory.
static_assert(kScaleGroupSize == 32 && kNvfp4GroupSize == 16 && kFp8GroupSize == 128 && gpu::kMaxExperts == 512);

constexpr std::int32_t kMatvecOutputs = 4;       ///< rows of the weight of a workgroup (kernels/dot_products.glsl)
constexpr std::int32_t kHeadOutputs = 16;        ///< the same for kernels/head_matvec.comp
constexpr std::int32_t kCombineThreads = 64;     ///< of a workgroup of kernels/combine_matmul.comp
constexpr std::int32_t kCombineColumns = 256;    ///< of a workgroup of kernels/combine_experts.comp
constexpr std::int32_t kMostGridWidth = 32'768;  ///< of workgroups along x; devices guarantee 65535

std::uint32_t blocks(std::int32_t n, std::int32_t of) {
  return static_cast<std::uint32_t>(ceil_divide(n, of));
}

std::int32_t encoding_of(const gpu::WeightView& weight) {
  return static_cast<std::int32_t>(weight.encoding);
}

/// What a product reads as x.
struct Input {
  std::int32_t kind = kXF32;  ///< a kX constant
  const void* x = nullptr;
};

/// The input of MatmulArguments or GroupedMatmulArguments.
template <typename Arguments>
Input input_of(const Arguments& a) {
  if (a.quantized_x != nullptr) return {.kind = kXInt8, .x = a.quantized_x};
  switch (a.narrow_to) {
    case gpu::NarrowTo::kF16:
      return {.kind = kXF16Scaled, .x = a.narrow_x};
    case gpu::NarrowTo::kE4m3Groups:
    case gpu::NarrowTo::kE4m3GroupsE8m0:
      return {.kind = kXBf16Groups, .x = a.narrow_x};
    case gpu::NarrowTo::kE4m3:
    case gpu::NarrowTo::kNvfp4:
      return {.kind = kXBf16Scaled, .x = a.narrow_x};
    case gpu::NarrowTo::kBf16:
      break;
  }
  if (a.narrow_x != nullptr) return {.kind = kXBf16, .x = a.narrow_x};
  return {.kind = kXF32, .x = a.x};
}

/// The code of a kernel that computes tiles: by f32 multiply-adds, and by cooperative matrices of FP16 and of int8.
struct TileCode {
  std::span<const std::uint32_t> f32;
  std::span<const std::uint32_t> f16;
  std::span<const std::uint32_t> int8;  ///< empty where x is never int8
};
constexpr TileCode kTiledMatmul{.f32 = kTiledMatmulCode, .f16 = kTiledMatmulF16Code, .int8 = kTiledMatmulInt8Code};
constexpr TileCode kGroupedTiles{.f32 = kGroupedTilesCode, .f16 = kGroupedTilesF16Code, .int8 = kGroupedTilesInt8Code};
constexpr TileCode kHeadTiles{.f32 = kHeadTilesCode, .f16 = kHeadTilesF16Code, .int8 = {}};

/// The kernel for a product by tiles.
Kernel tile_kernel(const LaunchContext& context, const TileCode& code, WeightEncoding encoding, std::int32_t x_kind,
                   gpu::MatmulTiles tiles) {
  const std::initializer_list<std::int32_t> constants = {static_cast<std::int32_t>(encoding), x_kind,
                                                         gpu::block_rows(tiles), gpu::block_cols(tiles)};
  const CooperativeMatrices& matrices = matrices_of(context);
  const bool is_int8 =
      x_kind == kXInt8 && (encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kInt8Group32);
  const bool is_f16 = x_kind == kXF16Scaled || x_kind == kXBf16Scaled || x_kind == kXBf16Groups;
  if (matrices.exist() && is_int8) {
    return with_matrices(code.int8, constants, matrices.int8, matrices.subgroup_size);
  }
  if (matrices.exist() && is_f16) {
    return with_matrices(code.f16, constants, matrices.f16, matrices.subgroup_size);
  }
  return Kernel(code.f32, constants);
}

Result<void> check_tiles(gpu::MatmulTiles tiles) {
  if (!gpu::by_warpgroups(tiles)) return {};
  return Error{ErrorCode::kInternal, "products of warpgroups on a Vulkan device, which has none"};
}

Result<void> launch_matvec(const LaunchContext& context, const gpu::MatmulArguments& arguments,
                           MatmulParameters parameters) {
  const Input input = input_of(arguments);
  parameters.x = address(input.x);
  const std::int32_t rows = arguments.max_rows > 2 ? 4 : arguments.max_rows;
  const std::int32_t n_blocks = ceil_divide(arguments.weight.n_rows, kMatvecOutputs);
  const std::int32_t width = std::min(n_blocks, kMostGridWidth);
  const Kernel kernel(kMatvecCode, {encoding_of(arguments.weight), input.kind, rows});
  return launch(
      context, "matvec", kernel,
      {.x = static_cast<std::uint32_t>(width), .y = blocks(n_blocks, width), .z = blocks(arguments.max_rows, rows)},
      parameters);
}

Result<void> launch_tiled_matmul(const LaunchContext& context, const gpu::MatmulArguments& arguments,
                                 MatmulParameters parameters) {
  const gpu::MatmulPlan& plan = arguments.plan;
  SS_TRY_VOID(check_tiles(plan.tiles));
  const Input input = input_of(arguments);
  const std::int32_t value_bytes = input.kind == kXInt8 ? 1 : 2;
  parameters.x = address(input.x);
  parameters.n_splits = plan.n_splits;
  parameters.split_cols = plan.split_steps * (gpu::step_bytes(plan.tiles) / value_bytes);
  const std::int32_t tile_rows = gpu::block_rows(plan.tiles);
  const std::int32_t tile_cols = gpu::block_cols(plan.tiles);
  const Kernel kernel = tile_kernel(context, kTiledMatmul, arguments.weight.encoding, input.kind, plan.tiles);
  SS_TRY_VOID(launch(context, "tiled_matmul", kernel,
                     {.x = blocks(arguments.max_rows, tile_rows),
                      .y = blocks(arguments.weight.n_rows, tile_cols),
                      .z = static_cast<std::uint32_t>(plan.n_splits)},
                     parameters));
  if (plan.n_splits == 1) return {};
  const Kernel combine(kCombineMatmulCode, {encoding_of(arguments.weight), input.kind});
  return launch(
      context, "combine_matmul", combine,
      {.x = blocks(arguments.weight.n_rows, kCombineThreads), .y = static_cast<std::uint32_t>(arguments.max_rows)},
      parameters);
}

}  // namespace

Weight weight_of(const gpu::WeightView& view) {
  return {.values = address(view.values),
          .row_scales = address(view.row_scales),
          .group_scales = address(view.group_scales),
          .group_powers = address(view.group_powers),
          .scale_pairs = address(view.scale_pairs),
          .group_zeros = address(view.group_zeros),
          .wide_scales = address(view.wide_scales),
          .row_bytes = static_cast<std::int32_t>(view.row_bytes),
          .n_rows = view.n_rows,
          .n_cols = view.n_cols,
          .padded_cols = view.padded_cols,
          .block_cols_log2 = view.blocks.block_cols_log2,
          .has_parts = view.blocks.has_parts ? 1 : 0,
          .high_at = view.blocks.high_at,
          .units_at = view.blocks.units_at,
          .scales_at = view.blocks.scales_at,
          .minima_at = view.blocks.minima_at};
}

Result<void> launch_matmul(const LaunchContext& context, const gpu::MatmulArguments& arguments) {
  const MatmulParameters parameters{.weight = weight_of(arguments.weight),
                                    .n_rows = address(arguments.n_rows),
                                    .x = 0,
                                    .x_scales = address(arguments.x_scales),
                                    .result = address(arguments.out),
                                    .aux = address(arguments.aux),
                                    .bias = address(arguments.bias),
                                    .partial = address(arguments.partial),
                                    .norm_weight = address(arguments.norm_weight),
                                    .softcap = arguments.softcap,
                                    .norm_eps = arguments.norm_eps,
                                    .epilogue = static_cast<std::int32_t>(arguments.epilogue),
                                    .max_rows = arguments.max_rows,
                                    .n_splits = 1,
                                    .split_cols = 0};
  return arguments.max_rows <= gpu::kMatvecRows ? launch_matvec(context, arguments, parameters)
                                                : launch_tiled_matmul(context, arguments, parameters);
}

Result<void> launch_finish_product(const LaunchContext& /*context*/, const gpu::FinishProductArguments& /*arguments*/) {
  return Error{ErrorCode::kInternal,
               "finish_product: there is no vendor's library for Vulkan whose sums it could finish"};
}

Result<void> launch_head_matmul(const LaunchContext& context, const gpu::HeadMatmulArguments& arguments) {
  const HeadMatmulParameters parameters{.weight = weight_of(arguments.weights),
                                        .n_rows = address(arguments.n_rows),
                                        .x = address(arguments.x),
                                        .narrow_x = address(arguments.narrow_x),
                                        .x_scales = address(arguments.x_scales),
                                        .result = address(arguments.out),
                                        .n_heads = arguments.n_heads,
                                        .n_outputs = arguments.n_outputs,
                                        .n_copied = arguments.n_copied,
                                        .x_stride = arguments.x_stride,
                                        .out_stride = arguments.out_stride,
                                        .unused = 0};
  const auto n_heads = static_cast<std::uint32_t>(arguments.n_heads);
  if (arguments.narrow_x == nullptr) {
    const Kernel kernel(kHeadMatvecCode, {encoding_of(arguments.weights), kXF32});
    return launch(context, "head_matvec", kernel,
                  {.x = static_cast<std::uint32_t>(arguments.max_rows),
                   .y = blocks(arguments.n_outputs, kHeadOutputs),
                   .z = n_heads},
                  parameters);
  }
  SS_TRY_VOID(check_tiles(arguments.tiles));
  const std::int32_t tile_rows = gpu::block_rows(arguments.tiles);
  const std::int32_t tile_cols = gpu::block_cols(arguments.tiles);
  const std::int32_t x_kind = arguments.narrow_to == gpu::NarrowTo::kF16 ? kXF16Scaled : kXBf16;
  const Kernel kernel = tile_kernel(context, kHeadTiles, arguments.weights.encoding, x_kind, arguments.tiles);
  return launch(context, "head_tiles", kernel,
                {.x = blocks(arguments.max_rows, tile_rows), .y = blocks(arguments.n_outputs, tile_cols), .z = n_heads},
                parameters);
}

Result<void> launch_grouped_matmul(const LaunchContext& context, const gpu::GroupedMatmulArguments& arguments) {
  const bool by_tiles = arguments.by_expert.rows != nullptr;
  const bool is_second = arguments.share != nullptr;
  const Input input = input_of(arguments);
  const GroupedMatmulParameters parameters{.weight = weight_of(arguments.weights),
                                           .n_rows = address(arguments.n_rows),
                                           .x = address(input.x),
                                           .x_scales = address(arguments.x_scales),
                                           .expert = address(arguments.expert),
                                           .share = address(arguments.share),
                                           .bias = address(arguments.bias),
                                           .result = address(arguments.out),
                                           .aux = address(arguments.aux),
                                           .partial = address(arguments.partial),
                                           .tile_rows = address(arguments.by_expert.rows),
                                           .tile_experts = address(arguments.by_expert.experts),
                                           .n_tiles = address(arguments.by_expert.n_tiles),
                                           .n_experts = arguments.n_experts,
                                           .n_expert_rows = arguments.n_expert_rows,
                                           .epilogue = static_cast<std::int32_t>(arguments.epilogue),
                                           .n_top = arguments.n_top,
                                           .x_per_expert = arguments.x_per_expert,
                                           .max_rows = arguments.max_rows,
                                           .max_tiles = arguments.by_expert.max_tiles,
                                           .unused = 0};
  if (!by_tiles) {
    const Kernel kernel(kGroupedMatvecCode, {encoding_of(arguments.weights), input.kind});
    const std::int32_t n_products = is_second ? arguments.max_rows : arguments.max_rows * arguments.n_top;
    return launch(context, "grouped_matvec", kernel,
                  {.x = blocks(arguments.n_expert_rows, kMatvecOutputs), .y = static_cast<std::uint32_t>(n_products)},
                  parameters);
  }
  SS_TRY_VOID(check_tiles(arguments.tiles));
  const std::int32_t tile_rows = gpu::block_rows(arguments.tiles);
  const std::int32_t tile_cols = gpu::block_cols(arguments.tiles);
  const Kernel group(kGroupRowsCode, {tile_rows});
  SS_TRY_VOID(launch(context, "group_rows", group, {.x = static_cast<std::uint32_t>(arguments.n_experts)}, parameters));
  const Kernel multiply = tile_kernel(context, kGroupedTiles, arguments.weights.encoding, input.kind, arguments.tiles);
  SS_TRY_VOID(launch(
      context, "grouped_tiles", multiply,
      {.x = static_cast<std::uint32_t>(arguments.by_expert.max_tiles), .y = blocks(arguments.n_expert_rows, tile_cols)},
      parameters));
  if (!is_second) return {};
  return launch(
      context, "combine_experts", Kernel(kCombineExpertsCode),
      {.x = blocks(arguments.n_expert_rows, kCombineColumns), .y = static_cast<std::uint32_t>(arguments.max_rows)},
      parameters);
}

}  // namespace secondsource::vulkan
