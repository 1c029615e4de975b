// Launches the kernels that copy, normalize or convert rows.

#include <algorithm>

#include "core/checked.h"
#include "vulkan/launchers.h"

namespace secondsource::vulkan {
namespace {

constexpr std::uint32_t kEmbedCode[] = {
#include "vulkan/spirv/embed.inc"
};
constexpr std::uint32_t kRmsNormCode[] = {
#include "vulkan/spirv/rms_norm.inc"
};
constexpr std::uint32_t kSelectRowsCode[] = {
#include "vulkan/spirv/select_rows.inc"
};
constexpr std::uint32_t kSelectColumnsCode[] = {
#include "vulkan/spirv/select_columns.inc"
};
constexpr std::uint32_t kQuantizeRowsCode[] = {
#include "vulkan/spirv/quantize_rows.inc"
};
constexpr std::uint32_t kNarrowRowsCode[] = {
#include "vulkan/spirv/narrow_rows.inc"
};
constexpr std::uint32_t kNarrowGroupsCode[] = {
#include "vulkan/spirv/narrow_groups.inc"
};
constexpr std::uint32_t kNarrowNvfp4Code[] = {
#include "vulkan/spirv/narrow_nvfp4.inc"
};

using gpu::NarrowTo;
static_assert(kNarrowToBf16 == static_cast<int>(NarrowTo::kBf16) && kNarrowToF16 == static_cast<int>(NarrowTo::kF16) &&
              kNarrowToE4m3 == static_cast<int>(NarrowTo::kE4m3) &&
              kNarrowToE4m3Groups == static_cast<int>(NarrowTo::kE4m3Groups) &&
              kNarrowToE4m3GroupsE8m0 == static_cast<int>(NarrowTo::kE4m3GroupsE8m0) &&
              kNarrowToNvfp4 == static_cast<int>(NarrowTo::kNvfp4));

constexpr std::int64_t kThreads = 256;   // of a workgroup
constexpr std::int64_t kVecValues = 8;   // of a thread that rounds to BF16
constexpr std::int64_t kGridX = 32'768;  // every driver allows 65535

/// A grid of at least n_workgroups. Kernels number workgroups along x first; those past the last row have nothing to do.
gpu::Dim3 grid_of(std::int64_t n_workgroups) {
  const std::int64_t x = std::min(n_workgroups, kGridX);
  if (x <= 0) return {.x = 0};
  return {.x = static_cast<std::uint32_t>(x), .y = static_cast<std::uint32_t>(ceil_divide(n_workgroups, x))};
}

std::int64_t product(std::int32_t a, std::int32_t b) {
  return std::int64_t{a} * b;
}

}  // namespace

Result<void> launch_embed(const LaunchContext& context, const gpu::EmbedArguments& arguments) {
  const Kernel kernel(kEmbedCode, {static_cast<std::int32_t>(arguments.table.encoding)});
  return launch(context, "embed", kernel, grid_of(arguments.max_rows),
                EmbedParameters{.batch = batch_of(arguments.batch),
                                .table = weight_of(arguments.table),
                                .last_sampled = address(arguments.last_sampled),
                                .result = address(arguments.out),
                                .scale = arguments.scale,
                                .unused = 0});
}

Result<void> launch_rms_norm(const LaunchContext& context, const gpu::RmsNormArguments& arguments) {
  return launch(context, "rms_norm", Kernel(kRmsNormCode), {.x = static_cast<std::uint32_t>(arguments.max_rows)},
                RmsNormParameters{.n_rows = address(arguments.n_rows),
                                  .x = address(arguments.x),
                                  .add = address(arguments.add),
                                  .weight = address(arguments.weight),
                                  .bias = address(arguments.bias),
                                  .sum_out = address(arguments.sum_out),
                                  .residual = address(arguments.residual),
                                  .result = address(arguments.out),
                                  .eps = arguments.eps,
                                  .centers = arguments.centers,
                                  .n_cols = arguments.n_cols,
                                  .unused = 0});
}

Result<void> launch_select_rows(const LaunchContext& context, const gpu::SelectRowsArguments& arguments) {
  return launch(context, "select_rows", Kernel(kSelectRowsCode), grid_of(arguments.max_rows),
                SelectRowsParameters{.n_rows = address(arguments.n_rows),
                                     .rows = address(arguments.rows),
                                     .x = address(arguments.x),
                                     .result = address(arguments.out),
                                     .n_cols = arguments.n_cols,
                                     .unused = 0});
}

Result<void> launch_select_columns(const LaunchContext& context, const gpu::SelectColumnsArguments& arguments) {
  // Either all rows of out that belong to a token share a row of x, or each has its own.
  const gpu::Divisor by_token = gpu::make_divisor(arguments.rows_per_token);
  const bool shares_x =
      arguments.by_rows_per_x.multiplier == by_token.multiplier && arguments.by_rows_per_x.shift == by_token.shift;
  return launch(context, "select_columns", Kernel(kSelectColumnsCode),
                grid_of(product(arguments.max_tokens, arguments.rows_per_token)),
                SelectColumnsParameters{.n_tokens = address(arguments.n_tokens),
                                        .columns = address(arguments.columns),
                                        .expert = address(arguments.expert),
                                        .x = address(arguments.x),
                                        .result = address(arguments.out),
                                        .x_cols = arguments.x_cols,
                                        .out_cols = arguments.out_cols,
                                        .rows_per_token = arguments.rows_per_token,
                                        .rows_per_x = shares_x ? arguments.rows_per_token : 1});
}

Result<void> launch_quantize_rows(const LaunchContext& context, const gpu::QuantizeRowsArguments& arguments) {
  return launch(context, "quantize_rows", Kernel(kQuantizeRowsCode),
                grid_of(product(arguments.max_tokens, arguments.rows_per_token)),
                NarrowParameters{.n_tokens = address(arguments.n_tokens),
                                 .x = address(arguments.x),
                                 .result = address(arguments.q),
                                 .scales = address(arguments.scales),
                                 .static_scale = arguments.static_scale,
                                 .rows_per_token = arguments.rows_per_token,
                                 .n_cols = arguments.n_cols,
                                 .x_stride = arguments.n_cols,
                                 .padded_cols = arguments.padded_cols,
                                 .unused = 0});
}

Result<void> launch_narrow_rows(const LaunchContext& context, const gpu::NarrowRowsArguments& arguments) {
  const NarrowParameters parameters{.n_tokens = address(arguments.n_tokens),
                                    .x = address(arguments.x),
                                    .result = address(arguments.out),
                                    .scales = address(arguments.scales),
                                    .static_scale = arguments.static_scale,
                                    .rows_per_token = arguments.rows_per_token,
                                    .n_cols = arguments.n_cols,
                                    .x_stride = arguments.x_stride,
                                    .padded_cols = arguments.padded_cols,
                                    .unused = 0};
  const std::int64_t max_rows = product(arguments.max_tokens, arguments.rows_per_token);
  const auto start = [&](std::span<const std::uint32_t> code, std::int64_t n_workgroups) {
    return launch(context, "narrow_rows", Kernel(code, {static_cast<std::int32_t>(arguments.to)}),
                  grid_of(n_workgroups), parameters);
  };
  switch (arguments.to) {
    case NarrowTo::kBf16:
      return start(kNarrowRowsCode, ceil_divide(max_rows * (arguments.padded_cols / kVecValues), kThreads));
    case NarrowTo::kF16:
    case NarrowTo::kE4m3:
      return start(kNarrowRowsCode, max_rows);
    case NarrowTo::kE4m3Groups:
    case NarrowTo::kE4m3GroupsE8m0:
      return start(kNarrowGroupsCode, max_rows);
    case NarrowTo::kNvfp4:
      return start(kNarrowNvfp4Code, max_rows);
  }
  return Error{ErrorCode::kInternal, "narrow_rows: no such type"};
}

}  // namespace secondsource::vulkan
