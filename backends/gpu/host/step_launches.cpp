// Which kernel each operation of a step launches, and with what arguments: addresses in the workspace as it is now.

#include "gpu/host/step.h"

namespace secondsource::gpu {

GpuStep::Launch GpuStep::bind_op(const Op& any) {
  const KernelTable& kernels = shared_.kernels;
  const auto bound = [](auto launch, const auto& arguments) -> Launch {
    return [launch, arguments](const LaunchContext& context) { return launch(context, arguments); };
  };
  if (const auto* const op = std::get_if<Embed>(&any)) {
    return bound(kernels.embed, EmbedArguments{.batch = upload_.view(),
                                               .table = weights_.view(op->table),
                                               .last_sampled = shared_.last_sampled.as<std::int32_t>(),
                                               .out = place(op->out),
                                               .scale = op->scale,
                                               .max_rows = max_rows_of(op->out)});
  }
  if (const auto* const op = std::get_if<RmsNorm>(&any)) {
    return bound(kernels.rms_norm, RmsNormArguments{.n_rows = n_rows(desc(op->x).rows),
                                                    .x = place(op->x),
                                                    .add = op->add ? place(*op->add) : nullptr,
                                                    .weight = weights_.vector(op->weight),
                                                    .sum_out = op->sum_out ? place(*op->sum_out) : nullptr,
                                                    .out = place(op->out),
                                                    .eps = op->eps,
                                                    .n_cols = desc(op->x).cols,
                                                    .max_rows = max_rows_of(op->x)});
  }
  if (const auto* const op = std::get_if<Matmul>(&any)) return bind_matmul(*op);
  if (const auto* const op = std::get_if<GroupedMatmul>(&any)) return bind_grouped(*op);
  if (const auto* const op = std::get_if<RopeAppend>(&any)) {
    const auto rope = static_cast<std::size_t>(index_of(op->rope));
    return bound(kernels.rope_append, RopeAppendArguments{.batch = upload_.view(),
                                                          .qkv = place(op->qkv),
                                                          .q_out = place(op->q_out),
                                                          .kv = pool_.view(op->layer),
                                                          .inv_freq = inv_freqs_[rope]->as<float>(),
                                                          .q_norm = op->q_norm ? weights_.vector(*op->q_norm) : nullptr,
                                                          .k_norm = op->k_norm ? weights_.vector(*op->k_norm) : nullptr,
                                                          .attention_factor = graph_.ropes[rope].attention_factor,
                                                          .norm_eps = op->norm_eps,
                                                          .n_heads = op->heads.n_heads,
                                                          .max_rows = max_rows_of(op->qkv)});
  }
  if (const auto* const op = std::get_if<Attention>(&any)) {
    const AttentionArguments a{.batch = upload_.view(),
                               .q = place(op->q),
                               .out = place(op->out),
                               .kv = pool_.view(op->layer),
                               .partial = reinterpret_cast<float*>(scratch()),
                               .scale = op->scale,
                               .softcap = op->softcap,
                               .window = op->window,
                               .n_heads = op->heads.n_heads,
                               .n_splits = n_splits_,
                               .split_tokens = split_tokens_,
                               .max_query_tiles = upload_.max_query_tiles(),
                               .max_decodes = upload_.max_decodes(),
                               .prefill = prefill()};
    return [this, &kernels, a](const LaunchContext& context) {
      AttentionArguments needed = a;
      if (launching_.n_query_tiles == 0) needed.max_query_tiles = 0;
      if (launching_.n_decodes == 0) needed.max_decodes = 0;
      return kernels.attention(context, needed);
    };
  }
  if (const auto* const op = std::get_if<SelectRows>(&any)) {
    return bound(kernels.select_rows, SelectRowsArguments{.n_rows = upload_.view().n_logit_rows,
                                                          .rows = upload_.view().logit_rows,
                                                          .x = place(op->x),
                                                          .out = place(op->out),
                                                          .n_cols = desc(op->x).cols,
                                                          .max_rows = max_rows_of(op->out)});
  }
  if (const auto* const op = std::get_if<Route>(&any)) {
    return bound(kernels.route, RouteArguments{.n_rows = n_rows(desc(op->x).rows),
                                               .x = place(op->x),
                                               .gate = weights_.view(op->gate),
                                               .expert = reinterpret_cast<std::int32_t*>(place(op->expert)),
                                               .weight = place(op->weight),
                                               .n_top = op->n_top,
                                               .renormalize = op->renormalize ? 1 : 0,
                                               .max_rows = max_rows_of(op->x)});
  }
  if (const auto* const op = std::get_if<Sample>(&any)) {
    auto* const rows = sampled_.as<SampledRow>();
    return bound(kernels.sample, SampleArguments{.batch = upload_.view(),
                                                 .logits = place(op->logits),
                                                 .pieces = reinterpret_cast<SamplePiece*>(scratch()),
                                                 .sampled = rows,
                                                 .top = reinterpret_cast<TokenLogprob*>(rows + bucket_.max_logit_rows),
                                                 .last_sampled = shared_.last_sampled.as<std::int32_t>(),
                                                 .n_top = std::min(op->n_top, limits_.n_logits),
                                                 .vocab_size = limits_.n_logits,
                                                 .max_rows = bucket_.max_logit_rows});
  }
  return [](const LaunchContext&) -> Result<void> {
    return Error{ErrorCode::kInternal, "an operation without a kernel"};
  };
}

}  // namespace secondsource::gpu
