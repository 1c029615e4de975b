// Compares the reference backend with PyTorch. The vectors are tests/data/conformance/vectors.json, which
// make_vectors.py computed in float64.

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "backend_kit/sampling.h"
#include "conformance/build.h"
#include "conformance/envelope.h"
#include "conformance/run_case.h"
#include "core/file.h"
#include "core/json.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource::conformance {
namespace {

using nlohmann::json;

json load_vectors() {
  const auto text = read_file(test::data_file("conformance/vectors.json"));
  REQUIRE_OK(text);
  auto parsed = parse_json(*text, "vectors.json");
  REQUIRE_OK(parsed);
  return std::move(parsed).value();
}

std::vector<float> floats(const json& c, const char* key) {
  return c.at(key).get<std::vector<float>>();
}

std::int32_t number(const json& c, const char* key) {
  return c.at(key).get<std::int32_t>();
}

/// The tolerance allows for one rounding of the result to f32, and half a unit for each f32 intermediate value (norms, q, k).
void check_close(std::span<const float> found, std::span<const float> expected) {
  REQUIRE(found.size() == expected.size());
  float largest = 0.0F;
  for (const float value : expected) largest = std::max(largest, std::fabs(value));
  for (std::size_t i = 0; i < found.size(); ++i) {
    INFO("element " << i);
    CHECK(std::fabs(found[i] - expected[i]) <= 4e-7F * (std::fabs(expected[i]) + largest));
  }
}

/// Adds an input whose row t is row t of `values`; token ids are row numbers.
ValueId add_input(CaseBuilder& b, const std::vector<float>& values, std::int32_t cols) {
  const auto rows = static_cast<std::int64_t>(values.size()) / cols;
  const WeightId table = b.weight(make_weight("input", values, rows, cols, WeightEncoding::kF32));
  const ValueId out = b.value(cols);
  b.add(Embed{.table = table, .out = out});
  return out;
}

WeightId add_vector(CaseBuilder& b, const std::vector<float>& values) {
  return b.weight(make_weight("vector", values, 1, static_cast<std::int64_t>(values.size()), WeightEncoding::kF32));
}

CaseOutputs run_rows(CaseBuilder& b, std::int32_t n_rows, HeadShape heads = {1, 1, 64}) {
  BatchStorage batch = plain_batch(b, n_rows, 1);
  b.result.kv.n_kv_heads = heads.n_kv_heads;
  b.result.kv.head_dim = heads.head_dim;
  b.result.kv.latent_dim = heads.latent_dim;
  for (std::int32_t t = 0; t < n_rows; ++t) batch.token_ids[static_cast<std::size_t>(t)] = t;
  b.submit(std::move(batch));
  auto outputs = run_case(*make_expected_backend(), b.result);
  REQUIRE_OK(outputs);
  return std::move(outputs).value();
}

const std::vector<float>& observed(const CaseOutputs& outputs, ValueId id) {
  return outputs.steps[0].values[static_cast<std::size_t>(index_of(id))];
}

void check_rms_norm(const json& c) {
  CaseBuilder b("vector", 1);
  const std::int32_t cols = number(c, "cols");
  RmsNorm op{.x = add_input(b, floats(c, "x"), cols), .weight = add_vector(b, floats(c, "weight")), .out = {}};
  op.eps = c.at("eps").get<float>();
  op.centers = c.contains("centers");
  if (c.contains("bias")) op.bias = add_vector(b, floats(c, "bias"));
  if (c.contains("add")) op.add = add_input(b, floats(c, "add"), cols);
  if (c.contains("residual")) op.residual = add_input(b, floats(c, "residual"), cols);
  if (!op.residual) op.sum_out = b.value(cols);
  op.out = b.value(cols);
  b.add(op);
  const CaseOutputs outputs = run_rows(b, number(c, "rows"));
  if (op.sum_out) check_close(observed(outputs, *op.sum_out), floats(c, "sum"));
  check_close(observed(outputs, op.out), floats(c, "out"));
}

void check_matmul(const json& c) {
  CaseBuilder b("vector", 1);
  const std::int32_t k = number(c, "k");
  const std::int32_t n = number(c, "n");
  const auto epilogue = c.at("epilogue").get<std::string>();
  const bool gated = epilogue.starts_with("gated");
  const ValueId x = add_input(b, floats(c, "x"), k);
  const std::vector<std::int64_t> parts = gated ? std::vector<std::int64_t>{n, n} : std::vector<std::int64_t>{n};
  const WeightId weight =
      b.weight(make_weight("weight", floats(c, "weight"), gated ? 2 * n : n, k, WeightEncoding::kF32, parts,
                           gated ? Join::kInterleaveGateUp : Join::kNone));
  Matmul op{.x = x, .weight = weight, .out = {}};
  op.softcap = c.at("softcap").get<float>();
  if (c.at("act") == "int8") op.act = ActQuant::kInt8PerRow;
  if (epilogue == "bias") {
    op.epilogue = Epilogue::kBias;
    op.bias = add_vector(b, floats(c, "other"));
  } else if (epilogue == "gelu") {
    op.epilogue = Epilogue::kGelu;
    op.bias = add_vector(b, floats(c, "other"));
  } else if (epilogue == "add_residual") {
    op.epilogue = Epilogue::kAddResidual;
    op.aux = add_input(b, floats(c, "other"), n);
  } else if (gated) {
    op.epilogue = epilogue == "gated_silu"   ? Epilogue::kGatedSilu
                  : epilogue == "gated_gelu" ? Epilogue::kGatedGelu
                                             : Epilogue::kGatedClampedSwish;
    if (c.contains("other")) op.bias = add_vector(b, floats(c, "other"));
  }
  op.out = b.value(n);
  b.add(op);
  const CaseOutputs outputs = run_rows(b, number(c, "rows"));
  check_close(observed(outputs, op.out), floats(c, "out"));
}

/// Columns [first, end) of a matrix with `n_cols`.
std::vector<float> columns(const std::vector<float>& matrix, std::int64_t n_cols, std::int64_t first,
                           std::int64_t end) {
  std::vector<float> cut;
  for (auto row = matrix.begin(); row != matrix.end(); row += n_cols) cut.insert(cut.end(), row + first, row + end);
  return cut;
}

void check_attention(const json& c, Apart apart) {
  CaseBuilder b("vector", 1);
  const HeadShape heads{number(c, "n_heads"), number(c, "n_kv_heads"), number(c, "head_dim")};
  b.graph().ropes.push_back(
      {.inv_freq = floats(c, "inv_freq"), .attention_factor = c.at("attention_factor").get<float>()});
  if (c.contains("query_period")) {
    b.graph().ropes.back().query_growth = {c.at("query_beta").get<float>(), number(c, "query_period")};
  }
  const std::int32_t q_end = heads.n_heads * heads.head_dim;
  const std::int32_t k_end = q_end + heads.n_kv_heads * heads.head_dim;
  const std::int32_t v_end = k_end + heads.n_kv_heads * heads.head_dim;
  const auto add_columns = [&, qkv = floats(c, "qkv")](std::int32_t first, std::int32_t end) {
    return add_input(b, columns(qkv, v_end, first, end), end - first);
  };
  RopeAppend append{.qkv = add_columns(0, apart == Apart::kNothing  ? v_end
                                          : apart == Apart::kValues ? k_end
                                                                    : q_end),
                    .q_out = b.value(heads.n_heads * heads.head_dim),
                    .heads = heads,
                    .rope = RopeId{0}};
  if (apart == Apart::kKeysAndValues) append.k = add_columns(q_end, k_end);
  if (apart != Apart::kNothing) append.v = add_columns(k_end, v_end);
  if (c.contains("q_norm")) {
    append.q_norm = add_vector(b, floats(c, "q_norm"));
    append.k_norm = add_vector(b, floats(c, "k_norm"));
    append.norm_eps = c.at("norm_eps").get<float>();
    if (c.contains("centers_heads")) {
      append.head_norm = HeadNorm::kLayerNormOfHead;
    } else if (floats(c, "q_norm").size() != static_cast<std::size_t>(heads.head_dim)) {
      append.head_norm = HeadNorm::kRmsOfAllHeads;
    }
  }
  b.add(append);
  Attention attend{.q = append.q_out,
                   .out = b.value(heads.n_heads * heads.head_dim),
                   .heads = heads,
                   .scale = 1.0F / std::sqrt(static_cast<float>(heads.head_dim)),
                   .softcap = c.at("softcap").get<float>(),
                   .window = number(c, "window")};
  if (c.contains("sinks")) attend.sinks = add_vector(b, floats(c, "sinks"));
  b.add(attend);
  const std::int32_t n_tokens = number(c, "tokens");
  const CaseOutputs outputs = run_rows(b, n_tokens, heads);
  check_close(observed(outputs, append.q_out), floats(c, "q_out"));
  check_close(observed(outputs, attend.out), floats(c, "out"));
  // In the cache, token t is in slot t of the only page that is not empty.
  const std::vector<std::int32_t>& slots = b.result.actions[0].batch.kv_slots;
  const auto width = static_cast<std::size_t>(heads.n_kv_heads * heads.head_dim);
  for (std::size_t half = 0; half < 2; ++half) {
    std::vector<float> written;
    for (const std::int32_t slot : slots) {
      const auto row =
          std::span<const float>(outputs.cache[half]).subspan(static_cast<std::size_t>(slot) * width, width);
      written.insert(written.end(), row.begin(), row.end());
    }
    check_close(written, floats(c, half == 0 ? "keys" : "values"));
  }
}

void check_mixture(const json& c) {
  CaseBuilder b("vector", 1);
  const std::int32_t dim = number(c, "dim");
  const std::int32_t ffn = number(c, "ffn");
  const std::int32_t n_experts = number(c, "n_experts");
  const std::int32_t n_top = number(c, "n_top");
  const auto parts = [](std::int32_t n, std::int64_t rows) {
    return std::vector<std::int64_t>(static_cast<std::size_t>(n), rows);
  };
  const ValueId x = add_input(b, floats(c, "x"), dim);
  const ValueId aux = add_input(b, floats(c, "aux"), dim);
  Route route{.x = x,
              .gate = b.weight(make_weight("gate", floats(c, "gate"), n_experts, dim, WeightEncoding::kF32)),
              .score = c.at("score") == "sigmoid" ? RouteScore::kSigmoid : RouteScore::kSoftmax,
              .n_top = n_top,
              .renormalize = c.at("renormalize").get<bool>(),
              .expert = b.value(n_top, Rows::kTokens, DType::kI32),
              .weight = b.value(n_top)};
  const bool has_biases = c.contains("gate_bias");
  if (has_biases) route.bias = add_vector(b, floats(c, "gate_bias"));
  b.add(route);
  const WeightId gate_up =
      b.weight(make_weight("gate_up", floats(c, "gate_up"), std::int64_t{n_experts} * 2 * ffn, dim,
                           WeightEncoding::kF32, parts(2 * n_experts, ffn), Join::kInterleaveGateUp, n_experts));
  const WeightId down =
      b.weight(make_weight("down", floats(c, "down"), std::int64_t{n_experts} * dim, ffn, WeightEncoding::kF32,
                           parts(n_experts, dim), Join::kConcatRows, n_experts));
  GroupedMatmul first{.x = x,
                      .expert = route.expert,
                      .weights = gate_up,
                      .out = b.value(n_top * ffn),
                      .n_top = n_top,
                      .epilogue = has_biases ? Epilogue::kGatedClampedSwish : Epilogue::kGatedSilu};
  if (has_biases) first.bias = add_vector(b, floats(c, "up_bias"));
  b.add(first);
  GroupedMatmul second{.x = first.out,
                       .expert = route.expert,
                       .weight = route.weight,
                       .weights = down,
                       .out = b.value(dim),
                       .n_top = n_top,
                       .epilogue = Epilogue::kAddResidual,
                       .aux = aux};
  if (has_biases) second.bias = add_vector(b, floats(c, "down_bias"));
  b.add(second);
  const CaseOutputs outputs = run_rows(b, number(c, "rows"));
  CHECK(observed(outputs, route.expert) == floats(c, "expert"));
  check_close(observed(outputs, route.weight), floats(c, "weight"));
  check_close(observed(outputs, first.out), floats(c, "hidden"));
  check_close(observed(outputs, second.out), floats(c, "out"));
}

void check_latent(const json& c) {
  CaseBuilder b("vector", 1);
  const std::int32_t n_heads = number(c, "n_heads");
  const std::int32_t rank = number(c, "rank");
  const std::int32_t plain = number(c, "plain");
  const std::int32_t rotated = number(c, "rotated");
  const std::int32_t width = number(c, "width");
  const HeadShape heads{n_heads, 1, rank + rotated, rank};
  b.graph().ropes.push_back({.inv_freq = floats(c, "inv_freq")});
  const auto of_heads = [&](const char* key, std::int32_t n_outputs, std::int32_t n_inputs) {
    return b.weight(make_weight(key, floats(c, key), std::int64_t{n_heads} * n_outputs, n_inputs, WeightEncoding::kF32,
                                std::vector<std::int64_t>(static_cast<std::size_t>(n_heads), n_outputs),
                                Join::kConcatRows, n_heads));
  };
  const HeadMatmul queries{.x = add_input(b, floats(c, "q"), n_heads * (plain + rotated)),
                           .weights = of_heads("query_heads", rank, plain),
                           .out = b.value(n_heads * heads.head_dim),
                           .n_heads = n_heads};
  b.add(queries);
  const LatentAppend append{.latent = add_input(b, floats(c, "latent"), heads.head_dim),
                            .q = queries.out,
                            .q_out = b.value(n_heads * heads.head_dim),
                            .heads = heads,
                            .rope = RopeId{0},
                            .norm = add_vector(b, floats(c, "norm"))};
  b.add(append);
  const Attention attend{.q = append.q_out,
                         .out = b.value(n_heads * rank),
                         .heads = heads,
                         .scale = 1.0F / std::sqrt(static_cast<float>(plain + rotated))};
  b.add(attend);
  const HeadMatmul values{.x = attend.out,
                          .weights = of_heads("value_heads", width, rank),
                          .out = b.value(n_heads * width),
                          .n_heads = n_heads};
  b.add(values);
  const CaseOutputs outputs = run_rows(b, number(c, "tokens"), heads);
  check_close(observed(outputs, values.out), floats(c, "out"));
  REQUIRE(outputs.cache.size() == 1);
  std::vector<float> written;
  for (const std::int32_t slot : b.result.actions[0].batch.kv_slots) {
    const auto n = static_cast<std::size_t>(heads.head_dim);
    const auto row = std::span<const float>(outputs.cache[0]).subspan(static_cast<std::size_t>(slot) * n, n);
    written.insert(written.end(), row.begin(), row.end());
  }
  check_close(written, floats(c, "keys"));
}

void check_groups(const json& c) {
  CaseBuilder b("vector", 1);
  const std::int32_t dim = number(c, "dim");
  const std::int32_t n_top = number(c, "n_top");
  const bool is_v3 = c.at("is_v3").get<bool>();
  Route route{
      .x = add_input(b, floats(c, "x"), dim),
      .gate = b.weight(make_weight("gate", floats(c, "gate"), number(c, "n_experts"), dim, WeightEncoding::kF32)),
      .score = is_v3 ? RouteScore::kSigmoid : RouteScore::kSoftmax,
      .n_top = n_top,
      .renormalize = c.at("renormalize").get<bool>(),
      .n_groups = number(c, "n_groups"),
      .n_top_groups = number(c, "n_top_groups"),
      .group_score = is_v3 ? GroupScore::kSumOfTwo : GroupScore::kLargest,
      .scale = c.at("scale").get<float>(),
      .expert = b.value(n_top, Rows::kTokens, DType::kI32),
      .weight = b.value(n_top)};
  if (is_v3) route.choice_bias = add_vector(b, floats(c, "bias"));
  b.add(route);
  const CaseOutputs outputs = run_rows(b, number(c, "rows"));
  CHECK(observed(outputs, route.expert) == floats(c, "expert"));
  check_close(observed(outputs, route.weight), floats(c, "weight"));
}

void check_columns(const json& c) {
  CaseBuilder b("vector", 1);
  const ValueId x = add_input(b, floats(c, "x"), number(c, "cols"));
  b.graph().column_lists.push_back(c.at("columns").get<std::vector<std::int32_t>>());
  const ValueId out = b.value(static_cast<std::int32_t>(b.graph().column_lists[0].size()));
  b.add(SelectColumns{.x = x, .columns = ColumnListId{0}, .out = out});
  CHECK(observed(run_rows(b, number(c, "rows")), out) == floats(c, "out"));
}

void check_expert_columns(const json& c) {
  CaseBuilder b("vector", 1);
  const std::int32_t cols = number(c, "cols");
  const std::int32_t n_experts = number(c, "n_experts");
  const std::int32_t n_top = number(c, "n_top");
  const bool x_per_expert = c.at("x_per_expert").get<bool>();
  const ValueId x = add_input(b, floats(c, "x"), x_per_expert ? n_top * cols : cols);
  const Route route{.x = add_input(b, floats(c, "router_x"), cols),
                    .gate = b.weight(make_weight("gate", floats(c, "gate"), n_experts, cols, WeightEncoding::kF32)),
                    .n_top = n_top,
                    .expert = b.value(n_top, Rows::kTokens, DType::kI32),
                    .weight = b.value(n_top)};
  b.add(route);
  b.graph().column_lists.push_back(c.at("columns").get<std::vector<std::int32_t>>());
  const auto n_columns = static_cast<std::int32_t>(b.graph().column_lists[0].size()) / n_experts;
  const ValueId out = b.value(n_top * n_columns);
  b.add(SelectColumns{.x = x,
                      .columns = ColumnListId{0},
                      .out = out,
                      .expert = route.expert,
                      .n_top = n_top,
                      .x_per_expert = x_per_expert});
  const CaseOutputs outputs = run_rows(b, number(c, "rows"));
  CHECK(observed(outputs, route.expert) == floats(c, "expert"));
  CHECK(observed(outputs, out) == floats(c, "out"));
}

void check_sample(const json& c) {
  const std::vector<float> logits = floats(c, "logits");
  SamplingParams params;
  params.temperature = c.at("temperature").get<float>();
  params.top_k = number(c, "top_k");
  params.top_p = c.at("top_p").get<float>();
  params.seed = c.at("seed").get<std::uint64_t>();
  params.position = c.at("position").get<std::int64_t>();
  params.forbidden_id = number(c, "forbidden_id");
  const SampledToken token = sample_row(logits, params, 5);
  CHECK(token.finite);
  CHECK(token.id == number(c, "id"));
  CHECK(std::fabs(token.logprob - c.at("logprob").get<float>()) < 2e-6F);
  REQUIRE(token.top.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(token.top[i].id == c.at("top")[i][0].get<std::int32_t>());
    CHECK(std::fabs(token.top[i].logprob - c.at("top")[i][1].get<float>()) < 2e-6F);
  }
}

TEST_CASE("the reference gives what PyTorch gives") {
  const json vectors = load_vectors();
  std::size_t index = 0;
  for (const json& c : vectors.at("cases")) {
    const auto kind = c.at("kind").get<std::string>();
    INFO("case " << index++ << ": " << kind);
    if (kind == "rms_norm") check_rms_norm(c);
    if (kind == "matmul") check_matmul(c);
    if (kind == "attention") {
      for (const Apart apart : {Apart::kNothing, Apart::kValues, Apart::kKeysAndValues}) check_attention(c, apart);
    }
    if (kind == "mixture") check_mixture(c);
    if (kind == "latent") check_latent(c);
    if (kind == "groups") check_groups(c);
    if (kind == "select_columns") check_columns(c);
    if (kind == "expert_columns") check_expert_columns(c);
    if (kind == "sample") check_sample(c);
  }
  CHECK(index == 69);
}

}  // namespace
}  // namespace secondsource::conformance
