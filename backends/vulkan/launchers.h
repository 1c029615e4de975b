#pragma once
// The launchers of every kernel, which launch_*.cpp define, and what they have in common: the host's views as kernels/parameters.h has
// them.

#include "vulkan/cooperative_matrices.h"
#include "vulkan/kernel.h"
#include "vulkan/kernels/parameters.h"

namespace secondsource::vulkan {

using gpu::LaunchContext;

[[nodiscard]] Weight weight_of(const gpu::WeightView& view);
[[nodiscard]] BatchTables batch_of(const gpu::BatchView& view);
[[nodiscard]] KvCache cache_of(const gpu::KvView& view);
/// The matrices of the device that a launch is for.
[[nodiscard]] const CooperativeMatrices& matrices_of(const LaunchContext& context);
/// A kernel that multiplies matrices of this shape: its first constants are `values`, and from kMatrixConstants on it has the shape and the
/// number of subgroups of its workgroups, which have 256 threads.
[[nodiscard]] Kernel with_matrices(std::span<const std::uint32_t> code, std::initializer_list<std::int32_t> values,
                                   const MatrixShape& shape, std::int32_t subgroup_size);

// launch_rows.cpp
Result<void> launch_embed(const LaunchContext& context, const gpu::EmbedArguments& arguments);
Result<void> launch_rms_norm(const LaunchContext& context, const gpu::RmsNormArguments& arguments);
Result<void> launch_select_rows(const LaunchContext& context, const gpu::SelectRowsArguments& arguments);
Result<void> launch_select_columns(const LaunchContext& context, const gpu::SelectColumnsArguments& arguments);
Result<void> launch_quantize_rows(const LaunchContext& context, const gpu::QuantizeRowsArguments& arguments);
Result<void> launch_narrow_rows(const LaunchContext& context, const gpu::NarrowRowsArguments& arguments);
// launch_products.cpp
Result<void> launch_matmul(const LaunchContext& context, const gpu::MatmulArguments& arguments);
Result<void> launch_finish_product(const LaunchContext& context, const gpu::FinishProductArguments& arguments);
Result<void> launch_head_matmul(const LaunchContext& context, const gpu::HeadMatmulArguments& arguments);
Result<void> launch_grouped_matmul(const LaunchContext& context, const gpu::GroupedMatmulArguments& arguments);
// launch_attention.cpp
Result<void> launch_rope_append(const LaunchContext& context, const gpu::RopeAppendArguments& arguments);
Result<void> launch_latent_append(const LaunchContext& context, const gpu::LatentAppendArguments& arguments);
Result<void> launch_attention(const LaunchContext& context, const gpu::AttentionArguments& arguments);
// launch_choices.cpp
Result<void> launch_sample(const LaunchContext& context, const gpu::SampleArguments& arguments);
Result<void> launch_route(const LaunchContext& context, const gpu::RouteArguments& arguments);
// launch_rates.cpp
Result<void> launch_read_memory(const LaunchContext& context, const gpu::ReadMemoryArguments& arguments);
Result<void> launch_compute(const LaunchContext& context, const gpu::ComputeArguments& arguments);

[[nodiscard]] const gpu::KernelTable& kernel_table();

}  // namespace secondsource::vulkan
