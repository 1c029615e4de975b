// Launches the kernels of the operations RopeAppend, LatentAppend and Attention.

#include <algorithm>
#include <cstddef>

#include "core/checked.h"
#include "vulkan/launchers.h"

namespace secondsource::vulkan {
namespace {

constexpr std::uint32_t kRopeAppendCode[] = {
#include "vulkan/spirv/rope_append.inc"
};
constexpr std::uint32_t kLatentAppendCode[] = {
#include "vulkan/spirv/latent_append.inc"
};
constexpr std::uint32_t kPrefillAttentionCode[] = {
#include "vulkan/spirv/prefill_attention.inc"
};
constexpr std::uint32_t kMatrixAttentionCode[] = {
#include "vulkan/spirv/matrix_attention_f16.inc"
};
constexpr std::uint32_t kDecodeAttentionCode[] = {
#include "vulkan/spirv/decode_attention.inc"
};
constexpr std::uint32_t kCombineAttentionCode[] = {
#include "vulkan/spirv/combine_attention.inc"
};

static_assert(kHeadNormRmsOfHead == static_cast<int>(HeadNorm::kRmsOfHead) &&
              kHeadNormRmsOfAllHeads == static_cast<int>(HeadNorm::kRmsOfAllHeads) &&
              kHeadNormLayerNormOfHead == static_cast<int>(HeadNorm::kLayerNormOfHead));
// The kernels read these as 32-bit words: kernels/attention.glsl and kernels/query_rows.glsl.
static_assert(sizeof(gpu::DecodeSplit) == 32 && offsetof(gpu::DecodeSplit, seq) == 0 &&
              offsetof(gpu::DecodeSplit, token) == 4 && offsetof(gpu::DecodeSplit, position) == 8 &&
              offsetof(gpu::DecodeSplit, index) == 12 && offsetof(gpu::DecodeSplit, n_splits) == 16);
static_assert(sizeof(gpu::QueryTile) == 12 && offsetof(gpu::QueryTile, first_token) == 0 &&
              offsetof(gpu::QueryTile, n_tokens) == 4 && offsetof(gpu::QueryTile, seq) == 8);

/// Heads of a workgroup of rope_append and latent_append: their local_size_y.
constexpr std::int32_t kAppendHeads = 4;
/// Threads of decode_attention and of combine_attention.
constexpr std::int32_t kDecodeThreads = 128;
/// Elements of a 16-byte vector of BF16, the unit in which the attention kernels get head_dim and value_dim.
constexpr std::int32_t kChunkDims = 8;
static_assert(gpu::kHeadDimStep % kChunkDims == 0);

std::uint32_t n_blocks(std::int32_t n, std::int32_t per_block) {
  return static_cast<std::uint32_t>(ceil_divide(n, per_block));
}

AttentionParameters parameters_of(const gpu::AttentionArguments& arguments) {
  return {.batch = batch_of(arguments.batch),
          .kv = cache_of(arguments.kv),
          .q = address(arguments.q),
          .result = address(arguments.out),
          .sinks = address(arguments.sinks),
          .partial = address(arguments.partial),
          .partial_softmax = address(arguments.partial_softmax),
          .scale = arguments.scale,
          .softcap = arguments.softcap,
          .window = arguments.window,
          .n_heads = arguments.n_heads,
          .value_dim = arguments.value_dim,
          .unused = 0};
}

/// The grid of workgroups that have this many rows each (kernels/query_rows.glsl).
gpu::Dim3 grid_of_rows(const gpu::AttentionArguments& arguments, std::int32_t n_rows) {
  const std::int32_t group_heads = arguments.n_heads / arguments.kv.n_kv_heads;
  return {.x = static_cast<std::uint32_t>(arguments.max_query_tiles),
          .y = static_cast<std::uint32_t>(arguments.kv.n_kv_heads),
          .z = n_blocks(gpu::kQueryTileTokens * group_heads, n_rows)};
}

Result<void> launch_prefill_attention(const LaunchContext& context, const gpu::AttentionArguments& arguments) {
  constexpr std::int32_t kSlabDims = 64;
  const std::int32_t n_key_slabs = ceil_divide(arguments.kv.head_dim, kSlabDims);
  const std::int32_t n_value_slabs = ceil_divide(arguments.value_dim, kSlabDims);
  const CooperativeMatrices& matrices = matrices_of(context);
  if (matrices.exist()) {
    // The rows whose queries fit into shared memory, at most 64.
    const std::int32_t n_slabs = std::max(n_key_slabs, n_value_slabs);
    const std::int32_t n_rows = n_slabs <= 2 ? 64 : n_slabs <= 4 ? 32 : 16;
    const Kernel kernel =
        with_matrices(kMatrixAttentionCode, {n_rows, n_key_slabs, n_value_slabs}, matrices.f16, matrices.subgroup_size);
    return launch(context, "matrix_attention", kernel, grid_of_rows(arguments, n_rows), parameters_of(arguments));
  }
  // A thread holds n_rows / 16 * n_value_slabs sums of four dimensions: at most 64 numbers.
  const std::int32_t n_rows = n_value_slabs <= 4 ? 64 : 32;
  const Kernel kernel(kPrefillAttentionCode, {n_rows, n_value_slabs});
  return launch(context, "prefill_attention", kernel, grid_of_rows(arguments, n_rows), parameters_of(arguments));
}

Result<void> launch_decode_attention(const LaunchContext& context, const gpu::AttentionArguments& arguments) {
  const std::int32_t head_dim = arguments.kv.head_dim;
  const std::int32_t group_heads = arguments.n_heads / arguments.kv.n_kv_heads;
  // Keys of kMaxLatentHeadDim leave shared memory for fewer heads and positions.
  const bool is_wide = head_dim > gpu::kMaxHeadDim;
  const std::int32_t most_heads = is_wide ? 4 : 8;
  const std::int32_t tile = is_wide ? 16 : 32;
  const std::int32_t heads = group_heads <= 2 ? group_heads : group_heads <= 4 ? 4 : most_heads;
  const std::int32_t value_chunks = arguments.value_dim / kChunkDims;
  const std::int32_t groups = std::min(tile, kDecodeThreads / value_chunks);
  static_assert(gpu::kMaxLatentDim / kChunkDims <= kDecodeThreads);
  const AttentionParameters parameters = parameters_of(arguments);
  const auto n_shares = static_cast<std::uint32_t>(arguments.max_decode_splits);
  SS_TRY_VOID(
      launch(context, "decode_attention",
             Kernel(kDecodeAttentionCode, {heads, head_dim / kChunkDims, value_chunks, tile, groups}),
             {.x = static_cast<std::uint32_t>(arguments.kv.n_kv_heads) * n_blocks(group_heads, heads), .y = n_shares},
             parameters));
  constexpr std::int32_t kThreadDims = 4;
  return launch(context, "combine_attention", Kernel(kCombineAttentionCode),
                {.x = n_blocks(arguments.n_heads * arguments.value_dim, kThreadDims * kDecodeThreads), .y = n_shares},
                parameters);
}

}  // namespace

BatchTables batch_of(const gpu::BatchView& view) {
  return {.n_tokens = address(view.n_tokens),
          .n_logit_rows = address(view.n_logit_rows),
          .n_query_tiles = address(view.n_query_tiles),
          .token_ids = address(view.token_ids),
          .token_slots = address(view.token_slots),
          .positions = address(view.positions),
          .kv_slots = address(view.kv_slots),
          .token_seqs = address(view.token_seqs),
          .block_table = address(view.block_table),
          .logit_rows = address(view.logit_rows),
          .samples = address(view.samples),
          .query_tiles = address(view.query_tiles),
          .decode_splits = address(view.decode_splits),
          .max_pages_per_seq = view.max_pages_per_seq,
          .unused = 0};
}

KvCache cache_of(const gpu::KvView& view) {
  return {.keys = address(view.keys),
          .values = address(view.values),
          .n_kv_heads = view.n_kv_heads,
          .page_tokens = view.page_tokens,
          .head_dim = view.head_dim,
          .unused = 0};
}

Result<void> launch_rope_append(const LaunchContext& context, const gpu::RopeAppendArguments& arguments) {
  const RopeAppendParameters parameters{.batch = batch_of(arguments.batch),
                                        .kv = cache_of(arguments.kv),
                                        .qkv = address(arguments.qkv),
                                        .k = address(arguments.k),
                                        .v = address(arguments.v),
                                        .q_out = address(arguments.q_out),
                                        .inv_freq = address(arguments.inv_freq),
                                        .q_norm = address(arguments.q_norm),
                                        .k_norm = address(arguments.k_norm),
                                        .attention_factor = arguments.attention_factor,
                                        .query_beta = arguments.query_beta,
                                        .norm_eps = arguments.norm_eps,
                                        .query_period = arguments.query_period,
                                        .head_norm = static_cast<int>(arguments.head_norm),
                                        .n_heads = arguments.n_heads,
                                        .qkv_stride = arguments.qkv_stride,
                                        .k_stride = arguments.k_stride,
                                        .v_stride = arguments.v_stride,
                                        .unused = 0};
  const gpu::Dim3 grid{.x = static_cast<std::uint32_t>(arguments.max_rows),
                       .y = n_blocks(arguments.n_heads + 2 * arguments.kv.n_kv_heads, kAppendHeads)};
  return launch(context, "rope_append", Kernel(kRopeAppendCode), grid, parameters);
}

Result<void> launch_latent_append(const LaunchContext& context, const gpu::LatentAppendArguments& arguments) {
  const LatentAppendParameters parameters{.batch = batch_of(arguments.batch),
                                          .kv = cache_of(arguments.kv),
                                          .latent = address(arguments.latent),
                                          .q = address(arguments.q),
                                          .q_out = address(arguments.q_out),
                                          .inv_freq = address(arguments.inv_freq),
                                          .norm = address(arguments.norm),
                                          .attention_factor = arguments.attention_factor,
                                          .query_beta = arguments.query_beta,
                                          .norm_eps = arguments.norm_eps,
                                          .query_period = arguments.query_period,
                                          .n_heads = arguments.n_heads,
                                          .latent_dim = arguments.latent_dim};
  const gpu::Dim3 grid{.x = static_cast<std::uint32_t>(arguments.max_rows),
                       .y = n_blocks(arguments.n_heads + 1, kAppendHeads)};
  return launch(context, "latent_append", Kernel(kLatentAppendCode), grid, parameters);
}

Result<void> launch_attention(const LaunchContext& context, const gpu::AttentionArguments& arguments) {
  if (arguments.max_query_tiles > 0) SS_TRY_VOID(launch_prefill_attention(context, arguments));
  if (arguments.max_decode_splits > 0) SS_TRY_VOID(launch_decode_attention(context, arguments));
  return {};
}

}  // namespace secondsource::vulkan
