// Whole layers, sections cut out of layers, and small models, in which errors of fused operations show.

#include <fmt/format.h>

#include <cmath>

#include "backend/op_access.h"
#include "conformance/build.h"
#include "conformance/cases.h"

namespace secondsource::conformance {
namespace {

struct Dims {
  std::int32_t dim = 0;
  std::int32_t ffn_dim = 0;
  HeadShape heads;
  WeightEncoding encoding = WeightEncoding::kBf16;
  ActQuant act = ActQuant::kNone;
};

Dims pick_dims(Dice& dice) {
  Dims dims;
  dims.heads.n_kv_heads = dice.between(1, 2);
  dims.heads.n_heads = dims.heads.n_kv_heads * dice.between(1, 4);
  dims.heads.head_dim = dice.one_of<std::int32_t>({32, 64});
  dims.dim = dice.one_of<std::int32_t>({64, 96, 160});
  dims.ffn_dim = dice.one_of<std::int32_t>({96, 200});
  dims.encoding =
      dice.one_of({WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kF16, WeightEncoding::kInt8PerRow,
                   WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32});
  return dims;
}

std::string describe_dims(const Dims& dims) {
  return fmt::format("{} dim={} ffn={} heads={}/{}x{}", to_string(dims.encoding), dims.dim, dims.ffn_dim,
                     dims.heads.n_heads, dims.heads.n_kv_heads, dims.heads.head_dim);
}

/// A Llama layer: norm, qkv, rope, attention, output matmul, norm with the sum, gate and up, down. Returns the hidden
/// state after the layer, which may be the same value as `hidden`.
ValueId add_transformer_layer(CaseBuilder& b, const Dims& dims, std::int32_t layer, ValueId hidden) {
  const HeadShape& heads = dims.heads;
  const std::int32_t q_cols = heads.n_heads * heads.head_dim;
  const std::int32_t kv_cols = heads.n_kv_heads * heads.head_dim;
  const std::string prefix = fmt::format("layers.{}.", layer);
  const ValueId normed = b.value(dims.dim);
  b.add(RmsNorm{.x = hidden, .add = {}, .weight = b.vector(dims.dim, 1.0F, 0.2F), .sum_out = {}, .out = normed},
        prefix + "attention_norm");
  const ValueId qkv = b.value(q_cols + 2 * kv_cols);
  b.add(Matmul{.x = normed,
               .weight = b.matrix(q_cols + 2 * kv_cols, dims.dim, dims.encoding, {q_cols, kv_cols, kv_cols},
                                  Join::kConcatRows),
               .out = qkv,
               .act = dims.act,
               .aux = {},
               .bias = {}},
        prefix + "qkv");
  const ValueId q = b.value(q_cols);
  b.add(RopeAppend{.qkv = qkv,
                   .q_out = q,
                   .layer = layer,
                   .heads = heads,
                   .rope = b.rope(heads.head_dim),
                   .q_norm = {},
                   .k_norm = {}},
        prefix + "rope");
  b.add(Attention{.q = q,
                  .out = q,
                  .layer = layer,
                  .heads = heads,
                  .scale = 1.0F / std::sqrt(static_cast<float>(heads.head_dim))},
        prefix + "attention");
  Matmul output{.x = q,
                .weight = b.matrix(dims.dim, q_cols, dims.encoding),
                .out = hidden,
                .act = dims.act,
                .aux = {},
                .bias = {}};
  RmsNorm second{
      .x = hidden, .add = {}, .weight = b.vector(dims.dim, 1.0F, 0.2F), .sum_out = {}, .out = b.value(dims.dim)};
  if (b.dice.chance(0.5)) {
    output.epilogue = Epilogue::kAddResidual;
    output.aux = hidden;
    b.add(output, prefix + "output");
  } else {
    output.out = b.value(dims.dim);
    b.add(output, prefix + "output");
    second.add = output.out;
    second.sum_out = hidden;
  }
  b.add(second, prefix + "ffn_norm");
  const ValueId activated = b.value(dims.ffn_dim);
  b.add(Matmul{.x = second.out,
               .weight = b.matrix(2 * dims.ffn_dim, dims.dim, dims.encoding, {dims.ffn_dim, dims.ffn_dim},
                                  Join::kInterleaveGateUp),
               .out = activated,
               .act = dims.act,
               .epilogue = Epilogue::kGatedSilu,
               .aux = {},
               .bias = {}},
        prefix + "gate_up");
  b.add(Matmul{.x = activated,
               .weight = b.matrix(dims.dim, dims.ffn_dim, dims.encoding),
               .out = hidden,
               .act = dims.act,
               .epilogue = Epilogue::kAddResidual,
               .aux = hidden,
               .bias = {}},
        prefix + "down");
  return hidden;
}

void set_cache(CaseBuilder& b, const Dims& dims, std::int32_t n_layers, std::int64_t n_pages) {
  b.result.kv = {
      .n_layers = n_layers, .n_kv_heads = dims.heads.n_kv_heads, .head_dim = dims.heads.head_dim, .page_tokens = 16};
  b.result.n_pages = n_pages;
}

void submit_mixed_steps(CaseBuilder& b, std::int32_t n_ids, bool wants_logits) {
  Sequences sequences(b.dice, b.result.n_pages, 16, 2);
  const std::int32_t n_sequences = b.dice.between(1, 4);
  for (std::int32_t s = 0; s < n_sequences; ++s) sequences.add();
  for (std::int32_t step = 0; step < 3; ++step) {
    BatchStorage batch;
    for (std::int32_t s = 0; s < n_sequences; ++s) {
      sequences.append(batch, s, step > 0 && b.dice.chance(0.7) ? 1 : b.dice.between(1, 30), n_ids);
      if (wants_logits) {
        SamplingParams params{.temperature = b.dice.one_of({0.0F, 0.8F}), .seed = b.result.seed, .position = step};
        Sequences::want_logits(batch, batch.q_starts.back() - 1, params);
      }
    }
    sequences.finish(batch, b.dice.chance(0.3) ? 2 : 0);
    b.submit(std::move(batch));
  }
}

/// Adds the head of a model on top of `hidden`; returns the logits.
ValueId add_head(CaseBuilder& b, const Dims& dims, ValueId hidden, WeightId table, std::int32_t vocab) {
  const ValueId selected = b.value(dims.dim, Rows::kLogits);
  b.add(SelectRows{.x = hidden, .out = selected}, "select");
  const ValueId normed = b.value(dims.dim, Rows::kLogits);
  b.add(RmsNorm{.x = selected, .add = {}, .weight = b.vector(dims.dim, 1.0F, 0.2F), .sum_out = {}, .out = normed},
        "final_norm");
  const ValueId logits = b.value(vocab, Rows::kLogits);
  b.add(Matmul{.x = normed, .weight = table, .out = logits, .act = dims.act, .aux = {}, .bias = {}}, "head");
  b.add(Sample{.logits = logits, .n_top = 5, .keep_logits = true}, "sample");
  return logits;
}

}  // namespace

Case make_layer_case(std::uint64_t seed) {
  CaseBuilder b("layer", seed);
  Dims dims = pick_dims(b.dice);
  if (dims.encoding == WeightEncoding::kInt8PerRow && b.dice.chance(0.5)) dims.act = ActQuant::kInt8PerRow;
  set_cache(b, dims, 1, 40);
  dirty_cache(b, dims.heads);
  constexpr std::int32_t kIds = 41;
  const ValueId hidden = add_transformer_layer(b, dims, 0, b.input(dims.dim, kIds));
  const bool fused = b.dice.chance(0.5);
  if (fused) b.observe_only(std::vector{hidden});
  submit_mixed_steps(b, kIds, false);
  b.result.name = fmt::format("{}{}{}", describe_dims(dims), dims.act == ActQuant::kNone ? "" : " w8a8",
                              fused ? " only the end observed" : " everything observed");
  return std::move(b.result);
}

Case make_window_case(std::uint64_t seed) {
  CaseBuilder b("window", seed);
  const Dims dims = pick_dims(b.dice);
  set_cache(b, dims, 1, 40);
  dirty_cache(b, dims.heads);
  constexpr std::int32_t kIds = 41;
  add_transformer_layer(b, dims, 0, b.input(dims.dim, kIds));
  // Cuts two to six consecutive operations, which the backend may fuse, out of the layer. Values that are used outside of
  // this section are observed.
  StepGraph& graph = b.graph();
  const std::int32_t length = b.dice.between(2, 6);
  const std::int32_t first = b.dice.between(1, static_cast<std::int32_t>(graph.ops.size()) - length);
  for (ValueDesc& value : graph.values) value.observed = true;
  for (std::int32_t i = first; i < first + length - 1; ++i) {
    for (const ValueId id : op_access(graph.ops[static_cast<std::size_t>(i)]).writes) {
      bool used_outside = false;
      for (std::size_t j = 0; j < graph.ops.size(); ++j) {
        if (static_cast<std::int32_t>(j) >= first && static_cast<std::int32_t>(j) < first + length) continue;
        const OpAccess access = op_access(graph.ops[j]);
        for (const ValueId other : access.reads) used_outside |= other == id;
        for (const ValueId other : access.writes) used_outside |= other == id;
      }
      if (!used_outside) graph.values[static_cast<std::size_t>(index_of(id))].observed = false;
    }
  }
  submit_mixed_steps(b, kIds, false);
  b.result.name = fmt::format("{} operations {}..{}", describe_dims(dims), first, first + length - 1);
  return std::move(b.result);
}

Case make_model_case(std::uint64_t seed) {
  CaseBuilder b("model", seed);
  const Dims dims = pick_dims(b.dice);
  set_cache(b, dims, 2, 40);
  dirty_cache(b, dims.heads);
  const std::int32_t vocab = b.dice.one_of<std::int32_t>({97, 300});
  const WeightId table = b.matrix(vocab, dims.dim, dims.encoding);  // tied weights: the embedding is also the head
  const ValueId embedded = b.value(dims.dim);
  b.add(Embed{.table = table, .out = embedded, .scale = 3.0F}, "embed");
  ValueId hidden = embedded;
  for (std::int32_t layer = 0; layer < 2; ++layer) hidden = add_transformer_layer(b, dims, layer, hidden);
  const ValueId logits = add_head(b, dims, hidden, table, vocab);
  b.observe_only(std::vector{logits});
  submit_mixed_steps(b, vocab, true);
  b.result.name = fmt::format("{} vocab={}", describe_dims(dims), vocab);
  return std::move(b.result);
}

Case make_in_flight_case(std::uint64_t seed) {
  CaseBuilder b("in_flight", seed);
  const Dims dims = pick_dims(b.dice);
  set_cache(b, dims, 1, 40);
  // The logits are rows of a table that gives each id one large logit, so that rounding cannot change the sampled id.
  // Step n + 1 embeds the id that step n samples. When step n + 1 is submitted, this id is known only on the device.
  const std::int32_t vocab = b.dice.between(11, 60);
  std::vector<float> next(static_cast<std::size_t>(vocab * vocab), 0.0F);
  for (std::int32_t id = 0; id < vocab; ++id) next[static_cast<std::size_t>(id * vocab + (id * 7 + 3) % vocab)] = 9.0F;
  const WeightId chain = b.weight(make_weight("chain", next, vocab, vocab, WeightEncoding::kF32));
  const ValueId rows = b.value(vocab);
  b.add(Embed{.table = chain, .out = rows}, "chain");
  const ValueId logits = b.value(vocab, Rows::kLogits);
  b.add(SelectRows{.x = rows, .out = logits}, "select");
  b.add(Sample{.logits = logits, .n_top = 3, .keep_logits = true}, "sample");

  Sequences sequences(b.dice, b.result.n_pages, 16, 2);
  const std::int32_t n_sequences = b.dice.between(1, 4);
  for (std::int32_t s = 0; s < n_sequences; ++s) sequences.add();
  const std::int32_t n_steps = 6;
  for (std::int32_t step = 0; step < n_steps; ++step) {
    BatchStorage batch;
    for (std::int32_t i = 0; i < n_sequences; ++i) {
      const std::int32_t s = step % 2 == 0 ? i : n_sequences - 1 - i;  // in odd steps, the order in the batch differs
                                                                       // from that of the slots
      sequences.append(batch, s, step == 0 ? b.dice.between(1, 5) : 1, vocab);
      if (step > 0) batch.token_ids.back() = -1;
      Sequences::want_logits(batch, batch.q_starts.back() - 1);
    }
    sequences.finish(batch, 0);
    Action& action = b.submit(std::move(batch));
    action.wait = step % 2 == 1;  // two steps in flight
  }
  b.result.name = fmt::format("vocab={} sequences={}", vocab, n_sequences);
  return std::move(b.result);
}

std::span<const Family> families() {
  // Append new families at the end: a family's index determines the seeds of its cases, and whether a planted bug is found
  // depends on these seeds.
  static constexpr Family kFamilies[] = {
      {"embed", make_embed_case, 16},
      {"rms_norm", make_rms_norm_case, 24},
      {"matmul", make_matmul_case, 120},
      {"matmul_w8a8", make_quantized_matmul_case, 40},
      {"rope_append", make_rope_append_case, 30},
      {"attention", make_attention_case, 40},
      {"attention_long", make_long_attention_case, 4},
      {"sample", make_sample_case, 30},
      {"route", make_route_case, 10},
      {"grouped_matmul", make_mixture_case, 16},
      {"window", make_window_case, 24},
      {"layer", make_layer_case, 16},
      {"model", make_model_case, 10},
      {"kv_copy_pages", make_page_copy_case, 6},
      {"in_flight", make_in_flight_case, 6},
      {"not_finite", make_not_finite_case, 40},
      {"matmul_long", make_long_matmul_case, 12},
      {"attention_wide", make_wide_attention_case, 12},
      {"attention_chunks", make_chunked_attention_case, 2},
      {"grouped_matmul_wide", make_wide_mixture_case, 24},
      {"matmul_g32_w8a8", make_quantized_group_matmul_case, 30},
      {"attention_deep", make_deep_attention_case, 1},
      {"sample_wide", make_wide_sample_case, 8},
      {"grouped_matmul_g32_w8a8", make_quantized_group_mixture_case, 12},
      {"matmul_gated_bias", make_gated_bias_case, 30},
      {"rope_partial", make_partial_rope_case, 20},
      {"shared_expert", make_shared_expert_case, 24},
      {"rms_norm_residual", make_residual_norm_case, 24},
      {"rope_norm_all_heads", make_all_heads_norm_case, 30},
      {"attention_sinks", make_sinks_case, 30},
      {"route_bias", make_biased_route_case, 12},
      {"grouped_matmul_bias", make_biased_mixture_case, 30},
      {"layer_norm", make_layer_norm_case, 30},
      {"matmul_gelu", make_gelu_case, 30},
      {"latent_append", make_latent_append_case, 20},
      {"attention_latent", make_latent_attention_case, 20},
      {"kv_copy_latents", make_latent_copy_case, 6},
      {"head_matmul", make_head_matmul_case, 30},
      {"route_groups", make_grouped_route_case, 30},
      {"matmul_int4_w8a8", make_quantized_int4_matmul_case, 30},
      {"grouped_matmul_int4_w8a8", make_quantized_int4_mixture_case, 12},
      {"matmul_fp8", make_fp8_matmul_case, 40},
      {"grouped_matmul_fp8", make_fp8_mixture_case, 12},
      {"not_finite_fp8", make_not_finite_fp8_case, 20},
      {"not_finite_nvfp4", make_not_finite_nvfp4_case, 20},
      {"query_growth", make_query_growth_case, 30},
      {"latent_growth", make_latent_growth_case, 12},
      {"matmul_int4_zp", make_int4_zero_matmul_case, 40},
      {"grouped_matmul_int4_zp", make_int4_zero_mixture_case, 12},
      {"matmul_mxfp4", make_mxfp4_matmul_case, 40},
      {"grouped_matmul_mxfp4", make_mxfp4_mixture_case, 12},
      {"matmul_nvfp4", make_nvfp4_matmul_case, 40},
      {"grouped_matmul_nvfp4", make_nvfp4_mixture_case, 12},
      {"matmul_q4_k", make_q4_k_matmul_case, 40},
      {"grouped_matmul_q4_k", make_q4_k_mixture_case, 12},
      {"matmul_q5_k", make_q5_k_matmul_case, 40},
      {"grouped_matmul_q5_k", make_q5_k_mixture_case, 12},
      {"matmul_q6_k", make_q6_k_matmul_case, 40},
      {"grouped_matmul_q6_k", make_q6_k_mixture_case, 12},
      {"matmul_gguf", make_gguf_matmul_case, 84},
      {"grouped_matmul_gguf", make_gguf_mixture_case, 28},
      {"matmul_fp8_g128", make_fp8_group_matmul_case, 40},
      {"grouped_matmul_fp8_g128", make_fp8_group_mixture_case, 12},
      {"not_finite_fp8_g128", make_not_finite_fp8_group_case, 20},
      {"rope_values_apart", make_values_apart_case, 30},
      {"attention_values_apart", make_attention_values_apart_case, 20},
      {"attention_latent_wide", make_wide_latent_attention_case, 6},
      {"select_columns", make_select_columns_case, 30},
      {"grouped_matmul_few", make_few_rows_mixture_case, 12},
      {"grouped_matmul_w8a8", make_quantized_mixture_case, 12},
      {"not_finite_int8_static", make_not_finite_int8_static_case, 20},
      {"select_columns_experts", make_expert_columns_case, 40},
      {"rope_layer_norm", make_heads_layer_norm_case, 30},
      {"route_wide", make_wide_route_case, 12},
      {"not_finite_route", make_not_finite_route_case, 12},
      {"matmul_tall", make_tall_matmul_case, 24},
      {"matmul_tall_w8a8", make_tall_quantized_matmul_case, 12},
      {"norm_product", make_norm_product_case, 16},
      {"not_finite_context", make_not_finite_context_case, 6},
  };
  return kFamilies;
}

}  // namespace secondsource::conformance
