#pragma once
// The launchers that a target's kernel files define. The host gets them by kernel_table().

#include "gpu/kernels/kernels.h"
#include "gpu/portable/target.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

Result<void> launch_embed(const LaunchContext& context, const EmbedArguments& arguments);
Result<void> launch_rms_norm(const LaunchContext& context, const RmsNormArguments& arguments);
Result<void> launch_select_rows(const LaunchContext& context, const SelectRowsArguments& arguments);
Result<void> launch_select_columns(const LaunchContext& context, const SelectColumnsArguments& arguments);
Result<void> launch_quantize_rows(const LaunchContext& context, const QuantizeRowsArguments& arguments);
Result<void> launch_narrow_rows(const LaunchContext& context, const NarrowRowsArguments& arguments);
Result<void> launch_matmul(const LaunchContext& context, const MatmulArguments& arguments);
/// The implementations of launch_matmul: dot products by warps for few rows, matrix-core tiles for many, and of these one that divides the
/// steps of all tiles equally among blocks (sm_90a).
Result<void> launch_matvec(const LaunchContext& context, const MatmulArguments& arguments);
Result<void> launch_tiled_matmul(const LaunchContext& context, const MatmulArguments& arguments);
Result<void> launch_stream_k_matmul(const LaunchContext& context, const MatmulArguments& arguments);
/// Matrix-core tiles for blocks in clusters, whose operands the tensor memory accelerator copies (sm_90a).
Result<void> launch_cluster_matmul(const LaunchContext& context, const ClusterMatmulArguments& arguments);
/// Epilogue after a product by the vendor's library.
Result<void> launch_finish_product(const LaunchContext& context, const FinishProductArguments& arguments);
Result<void> launch_rope_append(const LaunchContext& context, const RopeAppendArguments& arguments);
Result<void> launch_latent_append(const LaunchContext& context, const LatentAppendArguments& arguments);
Result<void> launch_head_matmul(const LaunchContext& context, const HeadMatmulArguments& arguments);
Result<void> launch_attention(const LaunchContext& context, const AttentionArguments& arguments);
/// The implementations of launch_attention: prefill by mma and its like, prefill by wgmma (sm_90a), decode, and both over latents.
Result<void> launch_prefill_attention(const LaunchContext& context, const AttentionArguments& arguments);
Result<void> launch_warpgroup_attention(const LaunchContext& context, const AttentionArguments& arguments);
Result<void> launch_decode_attention(const LaunchContext& context, const AttentionArguments& arguments);
Result<void> launch_latent_attention(const LaunchContext& context, const AttentionArguments& arguments);
Result<void> launch_sample(const LaunchContext& context, const SampleArguments& arguments);
Result<void> launch_route(const LaunchContext& context, const RouteArguments& arguments);
Result<void> launch_grouped_matmul(const LaunchContext& context, const GroupedMatmulArguments& arguments);
/// The two implementations of launch_grouped_matmul, as for launch_matmul.
Result<void> launch_grouped_matvec(const LaunchContext& context, const GroupedMatmulArguments& arguments);
Result<void> launch_grouped_tiles(const LaunchContext& context, const GroupedMatmulArguments& arguments);
Result<void> launch_read_memory(const LaunchContext& context, const ReadMemoryArguments& arguments);
Result<void> launch_compute(const LaunchContext& context, const ComputeArguments& arguments);

const KernelTable& kernel_table();

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
