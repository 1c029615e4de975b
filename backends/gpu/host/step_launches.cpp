#include "gpu/host/step_launches.h"

#include "core/checked.h"

namespace secondsource::gpu {
namespace {

/// A launch of one kernel whose arguments do not depend on the batch's work.
template <typename Arguments>
StepLaunch bound(Result<void> (*launch)(const LaunchContext&, const Arguments&), const Arguments& arguments) {
  return [launch, arguments](const LaunchContext& context, const BatchUpload::Work&) {
    return launch(context, arguments);
  };
}

}  // namespace

StepLaunch LaunchBinder::operator()(const Embed& op) const {
  return bound(shared.kernels.embed, {.batch = upload.view(),
                                      .table = weights.view(op.table),
                                      .last_sampled = shared.last_sampled.as<std::int32_t>(),
                                      .out = values.address(op.out),
                                      .scale = op.scale,
                                      .max_rows = values.max_rows_of(op.out)});
}

StepLaunch LaunchBinder::operator()(const RmsNorm& op) const {
  return bound(shared.kernels.rms_norm, {.n_rows = n_rows_of(op.x),
                                         .x = values.address(op.x),
                                         .add = op.add ? values.address(*op.add) : nullptr,
                                         .weight = weights.vector(op.weight),
                                         .bias = op.bias ? weights.vector(*op.bias) : nullptr,
                                         .sum_out = op.sum_out ? values.address(*op.sum_out) : nullptr,
                                         .residual = op.residual ? values.address(*op.residual) : nullptr,
                                         .out = values.address(op.out),
                                         .eps = op.eps,
                                         .centers = op.centers ? 1 : 0,
                                         .n_cols = values.desc(op.x).cols,
                                         .max_rows = values.max_rows_of(op.x)});
}

StepLaunch LaunchBinder::operator()(const RopeAppend& op) const {
  const auto rope = static_cast<std::size_t>(index_of(op.rope));
  const ValueId k = op.k.value_or(op.qkv);  // the k heads follow the q heads in its rows
  const ValueId v = op.v.value_or(op.qkv);  // the v heads are the last columns of its rows
  const std::int32_t v_cols = op.heads.n_kv_heads * op.heads.head_dim;
  return bound(shared.kernels.rope_append, {.batch = upload.view(),
                                            .qkv = values.address(op.qkv),
                                            .k = values.address(k) + (op.k ? 0 : op.heads.n_heads * op.heads.head_dim),
                                            .v = values.address(v) + (values.desc(v).cols - v_cols),
                                            .q_out = values.address(op.q_out),
                                            .kv = pool.view(op.layer),
                                            .inv_freq = inv_freqs[rope]->as<float>(),
                                            .q_norm = op.q_norm ? weights.vector(*op.q_norm) : nullptr,
                                            .k_norm = op.k_norm ? weights.vector(*op.k_norm) : nullptr,
                                            .head_norm = op.head_norm,
                                            .attention_factor = graph.ropes[rope].attention_factor,
                                            .query_beta = graph.ropes[rope].query_growth.beta,
                                            .query_period = graph.ropes[rope].query_growth.period,
                                            .norm_eps = op.norm_eps,
                                            .n_heads = op.heads.n_heads,
                                            .qkv_stride = values.desc(op.qkv).cols,
                                            .k_stride = values.desc(k).cols,
                                            .v_stride = values.desc(v).cols,
                                            .max_rows = values.max_rows_of(op.qkv)});
}

StepLaunch LaunchBinder::operator()(const LatentAppend& op) const {
  const auto rope = static_cast<std::size_t>(index_of(op.rope));
  return bound(shared.kernels.latent_append, {.batch = upload.view(),
                                              .latent = values.address(op.latent),
                                              .q = values.address(op.q),
                                              .q_out = values.address(op.q_out),
                                              .kv = pool.view(op.layer),
                                              .inv_freq = inv_freqs[rope]->as<float>(),
                                              .norm = weights.vector(op.norm),
                                              .attention_factor = graph.ropes[rope].attention_factor,
                                              .query_beta = graph.ropes[rope].query_growth.beta,
                                              .query_period = graph.ropes[rope].query_growth.period,
                                              .norm_eps = op.norm_eps,
                                              .n_heads = op.heads.n_heads,
                                              .latent_dim = op.heads.latent_dim,
                                              .max_rows = values.max_rows_of(op.latent)});
}

StepLaunch LaunchBinder::operator()(const Attention& op) const {
  const PartialAttention partial = partial_attention(values.scratch(), upload.max_decode_splits(), op.heads);
  const AttentionArguments arguments{.batch = upload.view(),
                                     .q = values.address(op.q),
                                     .out = values.address(op.out),
                                     .kv = pool.view(op.layer),
                                     .sinks = op.sinks ? weights.vector(*op.sinks) : nullptr,
                                     .partial = partial.sums,
                                     .partial_softmax = partial.softmax,
                                     .n_arrived = block_counters.as<std::uint32_t>(),
                                     .scale = op.scale,
                                     .softcap = op.softcap,
                                     .window = op.window,
                                     .n_heads = op.heads.n_heads,
                                     .value_dim = op.heads.value_dim(),
                                     .max_query_tiles = upload.max_query_tiles(),
                                     .max_decode_splits = upload.max_decode_splits(),
                                     .prefill = prefill};
  // Kernels without work in this batch are not launched: see StepGraphs.
  return [launch = shared.kernels.attention, arguments](const LaunchContext& context, const BatchUpload::Work& work) {
    AttentionArguments needed = arguments;
    if (work.n_query_tiles == 0) needed.max_query_tiles = 0;
    if (work.n_decodes == 0) needed.max_decode_splits = 0;
    return launch(context, needed);
  };
}

StepLaunch LaunchBinder::operator()(const SelectRows& op) const {
  return bound(shared.kernels.select_rows, {.n_rows = upload.view().n_logit_rows,
                                            .rows = upload.view().logit_rows,
                                            .x = values.address(op.x),
                                            .out = values.address(op.out),
                                            .n_cols = values.desc(op.x).cols,
                                            .max_rows = values.max_rows_of(op.out)});
}

StepLaunch LaunchBinder::operator()(const SelectColumns& op) const {
  const std::int32_t rows_per_token = op.expert ? op.n_top : 1;
  const std::int32_t rows_per_x = op.x_per_expert ? 1 : rows_per_token;
  return bound(shared.kernels.select_columns,
               {.n_tokens = n_rows_of(op.x),
                .columns = column_lists[static_cast<std::size_t>(index_of(op.columns))]->as<std::int32_t>(),
                .expert = op.expert ? reinterpret_cast<const std::int32_t*>(values.address(*op.expert)) : nullptr,
                .x = values.address(op.x),
                .out = values.address(op.out),
                .x_cols = values.desc(op.x).cols / (op.x_per_expert ? rows_per_token : 1),
                .out_cols = values.desc(op.out).cols / rows_per_token,
                .rows_per_token = rows_per_token,
                .by_rows_per_x = make_divisor(rows_per_x),
                .max_tokens = values.max_rows_of(op.x)});
}

std::size_t sample_scratch_bytes(std::int32_t max_rows, std::int32_t n_logits) {
  const std::int64_t n_pieces = std::int64_t{max_rows} * ceil_divide(n_logits, kSamplePieceLogits);
  return static_cast<std::size_t>(max_rows) * sizeof(SampleBins) +
         static_cast<std::size_t>(n_pieces) * sizeof(SamplePiece);
}

StepLaunch LaunchBinder::operator()(const Sample& op) const {
  const std::size_t bins_bytes = static_cast<std::size_t>(max_logit_rows) * sizeof(SampleBins);
  return bound(shared.kernels.sample, {.batch = upload.view(),
                                       .logits = values.address(op.logits),
                                       .pieces = reinterpret_cast<SamplePiece*>(values.scratch() + bins_bytes),
                                       .bins = reinterpret_cast<SampleBins*>(values.scratch()),
                                       .sampled = samples.rows(),
                                       .top = samples.top(),
                                       .last_sampled = shared.last_sampled.as<std::int32_t>(),
                                       .n_top = samples.n_top(),
                                       .vocab_size = n_logits,
                                       .max_rows = max_logit_rows});
}

std::size_t route_scratch_bytes(std::int32_t max_rows, std::int32_t n_experts) {
  return static_cast<std::size_t>(max_rows) * static_cast<std::size_t>(n_experts) * sizeof(float);
}

StepLaunch LaunchBinder::operator()(const Route& op) const {
  return bound(shared.kernels.route, {.n_rows = n_rows_of(op.x),
                                      .x = values.address(op.x),
                                      .gate = weights.view(op.gate),
                                      .bias = op.bias ? weights.vector(*op.bias) : nullptr,
                                      .choice_bias = op.choice_bias ? weights.vector(*op.choice_bias) : nullptr,
                                      .scores = reinterpret_cast<float*>(values.scratch()),
                                      .n_arrived = block_counters.as<std::uint32_t>(),
                                      .expert = reinterpret_cast<std::int32_t*>(values.address(op.expert)),
                                      .weight = values.address(op.weight),
                                      .n_top = op.n_top,
                                      .renormalize = op.renormalize ? 1 : 0,
                                      .score = op.score,
                                      .n_groups = op.n_groups,
                                      .n_top_groups = op.n_top_groups,
                                      .group_size = weights.view(op.gate).n_rows / op.n_groups,
                                      .group_score = op.group_score,
                                      .scale = op.scale,
                                      .n_blocks = 0,
                                      .max_rows = values.max_rows_of(op.x)});
}

}  // namespace secondsource::gpu
