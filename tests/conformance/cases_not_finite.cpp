// NaN and infinity in activations by the rule of docs/correctness.md: every value that depends on one is not finite,
// and all others are finite.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "conformance/build.h"
#include "conformance/cases.h"

namespace secondsource::conformance {
namespace {

constexpr std::int32_t kIds = 23;
constexpr std::int32_t kBadId = kIds - 1;  ///< the only row of bad_input() with a value that is not finite

/// A value with random content and with `bad` in one element of row kBadId, in one of the columns from `first_bad` on.
ValueId bad_input(CaseBuilder& b, std::int32_t cols, float bad, float deviation = 1.0F, std::int32_t first_bad = 0,
                  std::optional<std::int32_t> end_bad = {}) {
  std::vector<float> values = b.dice.normals(static_cast<std::size_t>(cols) * kIds, deviation);
  const std::int32_t col = b.dice.between(first_bad, end_bad.value_or(cols) - 1);
  values[static_cast<std::size_t>(kBadId * cols + col)] = bad;
  const ValueId out = b.value(cols);
  b.add(Embed{.table = b.weight(make_weight("bad", values, kIds, cols, WeightEncoding::kF32)), .out = out}, "bad");
  return out;
}

/// A batch in which one or more rows are bad.
BatchStorage mixed_batch(CaseBuilder& b) {
  const std::int32_t n_rows = b.dice.one_of<std::int32_t>({1, 2, 5, 17, 33});
  BatchStorage batch = plain_batch(b, n_rows, kIds);
  batch.token_ids[static_cast<std::size_t>(b.dice.between(0, n_rows - 1))] = kBadId;
  return batch;
}

std::string add_norm(CaseBuilder& b, float bad) {
  const std::int32_t cols = b.dice.one_of<std::int32_t>({1, 7, 16, 33, 200});
  RmsNorm op{.x = {}, .add = {}, .weight = b.vector(cols, 1.0F, 0.3F), .sum_out = {}, .out = {}};
  const bool in_add = b.dice.chance(0.5);
  op.x = in_add ? b.input(cols, kIds) : bad_input(b, cols, bad);
  if (in_add) op.add = bad_input(b, cols, bad);
  op.out = b.value(cols);
  b.add(op, "norm");
  return fmt::format("norm cols={}{}", cols, in_add ? " in add" : "");
}

std::string add_product(CaseBuilder& b, float bad, WeightEncoding encoding, ActQuant act) {
  const auto epilogue =
      b.dice.one_of({Epilogue::kNone, Epilogue::kAddResidual, Epilogue::kGatedSilu, Epilogue::kGatedGelu});
  const bool gated = epilogue == Epilogue::kGatedSilu || epilogue == Epilogue::kGatedGelu;
  const std::int32_t n_inputs = b.dice.one_of<std::int32_t>({1, 3, 16, 33, 129, 512});
  const std::int32_t n_outputs = b.dice.one_of<std::int32_t>({1, 15, 16, 65});
  const bool in_aux = epilogue == Epilogue::kAddResidual && b.dice.chance(0.3);
  Matmul op{.x = in_aux ? b.input(n_inputs, kIds) : bad_input(b, n_inputs, bad), .weight = {}, .out = {}};
  op.weight = gated ? b.matrix(2 * n_outputs, n_inputs, encoding, {n_outputs, n_outputs}, Join::kInterleaveGateUp)
                    : b.matrix(n_outputs, n_inputs, encoding);
  op.act = act;
  if (has_stored_scale(act)) op.act_scale = 0.01F;
  op.epilogue = epilogue;
  if (epilogue == Epilogue::kAddResidual) op.aux = in_aux ? bad_input(b, n_outputs, bad) : b.input(n_outputs, kIds);
  op.out = b.value(n_outputs);
  // A backend may turn an infinity into a NaN. A soft cap would make the first finite but not the second, so only NaN is capped.
  if (!gated && b.dice.chance(0.2) && std::isnan(bad)) op.softcap = 1.5F;
  b.add(op, "product");
  return fmt::format("product {}{} k={} n={}{}{}{}", to_string(encoding),
                     act == ActQuant::kInt8PerRow                                  ? " w8a8"
                     : act == ActQuant::kInt8Static || act == ActQuant::kFp8Static ? " static"
                                                                                   : "",
                     n_inputs, n_outputs, gated ? " gated" : "", op.softcap > 0.0F ? " softcap" : "",
                     in_aux ? " in aux" : "");
}

std::string add_product(CaseBuilder& b, float bad) {
  const auto act = b.dice.one_of({ActQuant::kNone, ActQuant::kInt8PerRow});
  const auto encoding =
      act == ActQuant::kInt8PerRow
          ? b.dice.one_of({WeightEncoding::kInt8PerRow, WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32})
          : b.dice.one_of({WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kF16,
                           WeightEncoding::kInt8PerRow, WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32});
  return add_product(b, bad, encoding, act);
}

HeadShape pick_heads(CaseBuilder& b, std::int64_t n_pages) {
  const std::int32_t n_kv_heads = b.dice.between(1, 2);
  const HeadShape heads{.n_heads = n_kv_heads * b.dice.between(1, 4),
                        .n_kv_heads = n_kv_heads,
                        .head_dim = b.dice.one_of<std::int32_t>({32, 80})};
  b.result.kv = {.n_layers = 1, .n_kv_heads = n_kv_heads, .head_dim = heads.head_dim, .page_tokens = 16};
  b.result.n_pages = n_pages;
  return heads;
}

/// Appends the heads of `qkv` to the cache of layer 0, and attends.
void add_attention(CaseBuilder& b, const HeadShape& heads, ValueId qkv) {
  const ValueId q = b.value(heads.n_heads * heads.head_dim);
  b.add(RopeAppend{.qkv = qkv, .q_out = q, .layer = 0, .heads = heads, .rope = b.rope(heads.head_dim)}, "rope");
  Attention attend{.q = q, .out = b.value(heads.n_heads * heads.head_dim), .layer = 0, .heads = heads};
  attend.scale = 1.0F / std::sqrt(static_cast<float>(heads.head_dim));
  b.add(attend, "attention");
}

/// One of several sequences gets a bad token that is alone in its step. In a prefill with other tokens, a softmax
/// weight of zero times NaN may reach the tokens before it, which the contract allows.
std::string submit_attention(CaseBuilder& b, float bad) {
  const HeadShape heads = pick_heads(b, 40);
  dirty_cache(b, heads);
  add_attention(b, heads, bad_input(b, (heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim, bad, 1.2F));
  Sequences sequences(b.dice, b.result.n_pages, 16, 2);
  constexpr std::int32_t kSequences = 3;
  for (std::int32_t s = 0; s < kSequences; ++s) sequences.add();
  for (std::int32_t step = 0; step < 4; ++step) {
    BatchStorage batch;
    for (std::int32_t s = 0; s < kSequences; ++s) {
      sequences.append(batch, s, step == 0 ? b.dice.between(1, 40) : 1, kIds - 1);
      if (s == 1 && step == 1) batch.token_ids.back() = kBadId;
    }
    sequences.finish(batch, 0);
    b.submit(std::move(batch));
  }
  return fmt::format("attention heads={}/{}x{}", heads.n_heads, heads.n_kv_heads, heads.head_dim);
}

}  // namespace

/// A sequence begins with 512 tokens whose keys contain a NaN, and later decodes alone over 1020 to 1022 positions. A backend that splits
/// these positions into shares whose size is a power of two from 8 to 512 gets shares in which all scores are NaN, and others without any
/// NaN. Another sequence stays finite.
Case make_not_finite_context_case(std::uint64_t seed) {
  CaseBuilder b("not_finite_context", seed);
  const HeadShape heads = pick_heads(b, 120);
  const std::int32_t first_key = heads.n_heads * heads.head_dim;
  const std::int32_t first_value = first_key + heads.n_kv_heads * heads.head_dim;
  const std::int32_t cols = first_value + heads.n_kv_heads * heads.head_dim;
  add_attention(b, heads, bad_input(b, cols, NAN, 1.2F, first_key, first_value));
  Sequences sequences(b.dice, b.result.n_pages, 16, 2);
  const std::int32_t finite = sequences.add();
  const std::int32_t bad = sequences.add();
  constexpr std::int32_t kBadTokens = 512;
  constexpr std::int32_t kLaterTokens = 507;
  for (std::int32_t step = 0; step < 2; ++step) {
    BatchStorage batch;
    sequences.append(batch, finite, b.dice.between(200, 400), kBadId);
    const auto first_row = std::ssize(batch.token_ids);
    sequences.append(batch, bad, step == 0 ? kBadTokens : kLaterTokens, kBadId);
    if (step == 0) std::fill(batch.token_ids.begin() + first_row, batch.token_ids.end(), kBadId);
    sequences.finish(batch, 0);
    b.submit(std::move(batch));
  }
  for (const std::int32_t sequence : {bad, finite, bad, bad}) {
    BatchStorage batch;
    sequences.append(batch, sequence, 1, kBadId);
    sequences.finish(batch, 0);
    b.submit(std::move(batch));
  }
  b.result.name = fmt::format("heads={}/{}x{}", heads.n_heads, heads.n_kv_heads, heads.head_dim);
  return std::move(b.result);
}

Case make_not_finite_case(std::uint64_t seed) {
  CaseBuilder b("not_finite", seed);
  const float bad = b.dice.one_of({NAN, NAN, INFINITY, -INFINITY});
  const std::int32_t kind = b.dice.between(0, 5);
  std::string what;
  if (kind == 0) {
    what = submit_attention(b, bad);
  } else {
    what = kind == 1 ? add_norm(b, bad) : add_product(b, bad);
    b.submit(mixed_batch(b));
  }
  b.result.name = fmt::format("{} {}", bad, what);
  return std::move(b.result);
}

namespace {

Case not_finite_product(CaseBuilder b, WeightEncoding encoding, ActQuant act) {
  const float bad = b.dice.one_of({NAN, NAN, INFINITY, -INFINITY});
  const std::string what = add_product(b, bad, encoding, act);
  b.submit(mixed_batch(b));
  b.result.name = fmt::format("{} {}", bad, what);
  return std::move(b.result);
}

}  // namespace

/// A router with NaN scores: all scores of a token whose x contains a NaN, or the scores of one expert whose bias is NaN.
Case make_not_finite_route_case(std::uint64_t seed) {
  CaseBuilder b("not_finite_route", seed);
  const std::int32_t cols = b.dice.one_of<std::int32_t>({7, 64, 600});
  const std::int32_t n_experts = b.dice.one_of<std::int32_t>({2, 17, 130});
  const std::int32_t n_top = b.dice.between(1, std::min(4, n_experts));
  const bool in_bias = b.dice.chance(0.5);
  Route op{.x = in_bias ? b.input(cols, kIds) : bad_input(b, cols, NAN),
           .gate = b.matrix(n_experts, cols, WeightEncoding::kF32),
           .score = b.dice.one_of({RouteScore::kSoftmax, RouteScore::kSigmoid}),
           .n_top = n_top,
           .renormalize = b.dice.chance(0.5),
           .expert = b.value(n_top, Rows::kTokens, DType::kI32),
           .weight = b.value(n_top)};
  if (in_bias) {
    std::vector<float> bias = b.dice.normals(static_cast<std::size_t>(n_experts), 1.0F);
    bias[static_cast<std::size_t>(b.dice.between(0, n_experts - 1))] = NAN;
    op.bias = b.weight(make_weight("bias", bias, 1, n_experts, WeightEncoding::kF32));
  }
  b.add(op, "route");
  b.submit(mixed_batch(b));
  b.result.name = fmt::format("route k={} experts={} top={}{}", cols, n_experts, n_top, in_bias ? " in bias" : "");
  return std::move(b.result);
}

Case make_not_finite_int8_static_case(std::uint64_t seed) {
  return not_finite_product(CaseBuilder("not_finite_int8_static", seed), WeightEncoding::kInt8PerRow,
                            ActQuant::kInt8Static);
}

Case make_not_finite_fp8_case(std::uint64_t seed) {
  return not_finite_product(CaseBuilder("not_finite_fp8", seed), WeightEncoding::kFp8PerRow,
                            seed % 2 == 0 ? ActQuant::kFp8PerRow : ActQuant::kFp8Static);
}

Case make_not_finite_nvfp4_case(std::uint64_t seed) {
  return not_finite_product(CaseBuilder("not_finite_nvfp4", seed), WeightEncoding::kNvfp4Group16,
                            ActQuant::kNvfp4Static);
}

Case make_not_finite_fp8_group_case(std::uint64_t seed) {
  return not_finite_product(CaseBuilder("not_finite_fp8_g128", seed), WeightEncoding::kFp8Group128,
                            seed % 2 == 0 ? ActQuant::kFp8PerGroup128 : ActQuant::kFp8PerGroup128E8m0);
}

}  // namespace secondsource::conformance
