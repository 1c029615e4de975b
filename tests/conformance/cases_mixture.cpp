#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "conformance/build.h"
#include "conformance/cases.h"

namespace secondsource::conformance {
namespace {

constexpr std::int32_t kIds = 23;

struct Choice {
  ValueId expert;
  ValueId weight;
};

Choice add_route(CaseBuilder& b, ValueId x, WeightId gate, std::int32_t n_top, RouteScore score = RouteScore::kSoftmax,
                 std::optional<WeightId> bias = {}) {
  const Choice choice{b.value(n_top, Rows::kTokens, DType::kI32), b.value(n_top)};
  b.add(Route{.x = x,
              .gate = gate,
              .bias = bias,
              .score = score,
              .n_top = n_top,
              .renormalize = b.dice.chance(0.5),
              .expert = choice.expert,
              .weight = choice.weight},
        "route");
  return choice;
}

/// How a router spreads tokens over its experts.
enum class Spread : std::uint8_t {
  kAll,   ///< over all experts; if there are many, some get no token
  kFew,   ///< mostly over the first four experts
  kTied,  ///< all scores are equal, so that every token goes to the first n_top experts
};

/// A router with separate inputs whose scores are exact in f32. Every backend therefore has the same ties, and scores that
/// are not equal are never nearly equal, however many experts there are.
Choice add_coarse_route(CaseBuilder& b, Spread spread, std::int32_t n_ids, std::int32_t n_experts, std::int32_t n_top) {
  constexpr std::int32_t kDim = 8;
  const auto coarse = [&](std::int32_t n_rows, std::int32_t n_filled) {
    std::vector<float> values = b.dice.normals(static_cast<std::size_t>(n_filled * kDim), 4.0F);
    for (float& value : values) value = std::nearbyint(value) / 4.0F;
    values.resize(static_cast<std::size_t>(n_rows * kDim));
    return values;
  };
  const std::int32_t n_scored = spread == Spread::kAll   ? n_experts
                                : spread == Spread::kFew ? std::min(4, n_experts)
                                                         : 0;
  const WeightId table =
      b.weight(make_weight("router_inputs", coarse(n_ids, n_ids), n_ids, kDim, WeightEncoding::kF32));
  const WeightId gate =
      b.weight(make_weight("router", coarse(n_experts, n_scored), n_experts, kDim, WeightEncoding::kF32));
  const ValueId x = b.value(kDim);
  b.add(Embed{.table = table, .out = x}, "router_inputs");
  return add_route(b, x, gate, n_top);
}

/// The extents of the two grouped matmuls of a mixture.
struct MixtureShape {
  std::int32_t dim = 0;
  std::int32_t ffn_dim = 0;
  std::int32_t n_experts = 0;
  std::int32_t n_top = 0;
};

/// A list of columns for each expert: a permutation of all `n_inputs` columns, or `n_columns` random ones, which may repeat.
ColumnListId add_columns_of_experts(CaseBuilder& b, std::int32_t n_experts, std::int32_t n_inputs,
                                    std::optional<std::int32_t> n_columns = {}) {
  std::vector<std::int32_t> list;
  for (std::int32_t expert = 0; expert < n_experts; ++expert) {
    const std::size_t first = list.size();
    for (std::int32_t i = 0; i < n_columns.value_or(n_inputs); ++i) {
      list.push_back(n_columns ? b.dice.between(0, n_inputs - 1) : i);
      if (n_columns) continue;
      std::swap(list.back(), list[first + static_cast<std::size_t>(b.dice.between(0, i))]);
    }
  }
  b.graph().column_lists.push_back(std::move(list));
  return ColumnListId{static_cast<std::int32_t>(b.graph().column_lists.size()) - 1};
}

/// Permutes the columns of `x` separately for each of a token's experts. The result has `n_inputs` columns for each of these experts.
ValueId add_orders_of_experts(CaseBuilder& b, ValueId x, const Choice& choice, const MixtureShape& shape,
                              std::int32_t n_inputs, bool x_per_expert, std::string label) {
  const ValueId out = b.value(shape.n_top * n_inputs);
  b.add(SelectColumns{.x = x,
                      .columns = add_columns_of_experts(b, shape.n_experts, n_inputs),
                      .out = out,
                      .expert = choice.expert,
                      .n_top = shape.n_top,
                      .x_per_expert = x_per_expert},
        std::move(label));
  return out;
}

/// A stored scale that is too small for inputs of add_experts() with a magnitude above 1.5.
float act_scale_for(ActQuant act) {
  if (!has_stored_scale(act)) return 0.0F;
  return 1.5F / largest_with_stored_scale(act);
}

/// Which of the two matmuls of the experts have inputs that are first permuted separately for each expert.
struct Ordered {
  bool first = false;
  bool second = false;
};

/// Adds both grouped matmuls of the experts over `x`. `first` is the epilogue of the first one; the second may add a
/// residual.
void add_experts(CaseBuilder& b, ValueId x, const Choice& choice, const MixtureShape& shape, WeightEncoding encoding,
                 ActQuant act, Epilogue first, std::int32_t n_ids, bool has_biases = false, Ordered ordered = {}) {
  const bool gated = first != Epilogue::kNone;
  const std::int32_t n_parts = gated ? 2 * shape.n_experts : shape.n_experts;
  const WeightId up = b.matrix(std::int64_t{n_parts} * shape.ffn_dim, shape.dim, encoding,
                               std::vector<std::int64_t>(static_cast<std::size_t>(n_parts), shape.ffn_dim),
                               gated ? Join::kInterleaveGateUp : Join::kConcatRows, shape.n_experts);
  const WeightId down = b.matrix(std::int64_t{shape.n_experts} * shape.dim, shape.ffn_dim, encoding,
                                 std::vector<std::int64_t>(static_cast<std::size_t>(shape.n_experts), shape.dim),
                                 Join::kConcatRows, shape.n_experts);
  const ValueId hidden = b.value(shape.n_top * shape.ffn_dim);
  // Biases with a standard deviation of 5 push many gate and up values past the limit of 7 of the clamped epilogue.
  std::optional<WeightId> up_bias;
  std::optional<WeightId> down_bias;
  if (has_biases) up_bias = b.vector(std::int64_t{n_parts} * shape.ffn_dim, 0.0F, 5.0F);
  if (has_biases) down_bias = b.vector(std::int64_t{shape.n_experts} * shape.dim, 0.0F, 2.0F);
  const ValueId of_first =
      ordered.first ? add_orders_of_experts(b, x, choice, shape, shape.dim, false, "up_columns") : x;
  b.add(GroupedMatmul{.x = of_first,
                      .expert = choice.expert,
                      .weight = {},
                      .weights = up,
                      .bias = up_bias,
                      .out = hidden,
                      .n_top = shape.n_top,
                      .act = act,
                      .act_scale = act_scale_for(act),
                      .epilogue = first,
                      .aux = {},
                      .x_per_expert = ordered.first},
        gated ? "gate_up" : "up");
  const ValueId of_second =
      ordered.second ? add_orders_of_experts(b, hidden, choice, shape, shape.ffn_dim, true, "down_columns") : hidden;
  GroupedMatmul second{.x = of_second,
                       .expert = choice.expert,
                       .weight = choice.weight,
                       .weights = down,
                       .bias = down_bias,
                       .out = {},
                       .n_top = shape.n_top,
                       .act = act,
                       .act_scale = act_scale_for(act),
                       .epilogue = Epilogue::kNone,
                       .aux = {}};
  const bool residual = b.dice.chance(0.6);
  if (residual) {
    second.epilogue = Epilogue::kAddResidual;
    second.aux = b.input(shape.dim, n_ids);
  }
  second.out = residual && b.dice.chance(0.5) ? *second.aux : b.value(shape.dim);
  b.add(second, "down");
  b.result.name = fmt::format("{} dim={} ffn={} experts={} top={}{}{}", to_string(encoding), shape.dim, shape.ffn_dim,
                              shape.n_experts, shape.n_top,
                              act == ActQuant::kNone  ? ""
                              : has_stored_scale(act) ? " static"
                                                      : " w8a8",
                              residual ? " residual" : "");
}

/// Up to 512 experts, 8 per token, for up to 150 tokens.
Case wide_mixture(CaseBuilder b, WeightEncoding encoding, ActQuant act) {
  constexpr std::int32_t kWideIds = 97;
  MixtureShape shape;
  shape.n_experts = b.dice.one_of<std::int32_t>({2, 3, 8, 17, 64, 256, 512});
  shape.n_top = b.dice.between(1, std::min(8, shape.n_experts));
  const bool small = shape.n_experts >= 64;  // creating many large experts would take most of the time
  shape.dim = small ? b.dice.one_of<std::int32_t>({8, 33}) : b.dice.one_of<std::int32_t>({33, 64, 168});
  shape.ffn_dim = small ? b.dice.one_of<std::int32_t>({5, 32}) : b.dice.one_of<std::int32_t>({24, 72, 136});
  if (encoding == WeightEncoding::kFp8Group128) {  // rows have several groups
    shape = {.dim = b.dice.one_of<std::int32_t>({168, 256, 392}),
             .ffn_dim = b.dice.one_of<std::int32_t>({136, 264}),
             .n_experts = std::min(shape.n_experts, 17),
             .n_top = std::min(shape.n_top, 8)};
  }
  if (const auto block_cols = static_cast<std::int32_t>(block_form(encoding).n_cols); block_cols > 0) {
    // Rows consist of whole blocks. There are few experts, because creating and checking so many weights takes most of the time.
    const std::int32_t n_experts = std::min(shape.n_experts, 3);
    shape = {.dim = block_cols == 32 ? 96 : 256,
             .ffn_dim = b.dice.one_of<std::int32_t>({256, 256, 512}),
             .n_experts = n_experts,
             .n_top = std::min(shape.n_top, n_experts)};
  }
  const auto first = b.dice.one_of({Epilogue::kGatedSilu, Epilogue::kGatedGelu, Epilogue::kNone});
  const auto spread = b.dice.one_of({Spread::kAll, Spread::kFew, Spread::kTied});
  const std::int32_t n_tokens = b.dice.one_of<std::int32_t>({1, 4, 5, 17, 48, 80, 150});
  const Choice choice = add_coarse_route(b, spread, kWideIds, shape.n_experts, shape.n_top);
  const ValueId x = b.input(shape.dim, kWideIds);
  add_experts(b, x, choice, shape, encoding, act, first, kWideIds);
  b.submit(plain_batch(b, n_tokens, kWideIds));
  b.result.name += fmt::format(" {}{} tokens={}{}",
                               first == Epilogue::kNone        ? "plain"
                               : first == Epilogue::kGatedSilu ? "silu"
                                                               : "gelu",
                               spread == Spread::kAll   ? ""
                               : spread == Spread::kFew ? " few"
                                                        : " tied",
                               n_tokens, b.is_exact_in_bf16 ? " exact" : "");
  return std::move(b.result);
}

/// A mixture of one encoding, whose inputs are exact in BF16 in half of the cases.
Case quantized_mixture(const char* family, std::uint64_t seed, WeightEncoding encoding, ActQuant act) {
  CaseBuilder b(family, seed);
  b.is_exact_in_bf16 = b.dice.chance(0.5);
  return wide_mixture(std::move(b), encoding, act);
}

}  // namespace

Case make_route_case(std::uint64_t seed) {
  CaseBuilder b("route", seed);
  const std::int32_t dim = b.dice.one_of<std::int32_t>({7, 32, 65});
  const std::int32_t n_experts = b.dice.between(2, 17);
  const std::int32_t n_top = b.dice.between(1, std::min(4, n_experts));
  const ValueId x = b.input(dim, kIds, 2.0F);
  add_route(b, x, b.matrix(n_experts, dim, WeightEncoding::kF32), n_top);
  b.submit(plain_batch(b, b.dice.between(1, 20), kIds));
  b.result.name = fmt::format("dim={} experts={} top={}", dim, n_experts, n_top);
  return std::move(b.result);
}

/// Realistic numbers of inputs: each of the threads that share a dot product takes several columns, and not all take equally many.
Case make_wide_route_case(std::uint64_t seed) {
  CaseBuilder b("route_wide", seed);
  const std::int32_t dim = b.dice.one_of<std::int32_t>({520, 1029, 2880, 4096});
  const std::int32_t n_experts = b.dice.one_of<std::int32_t>({4, 32, 128});
  const std::int32_t n_top = b.dice.between(1, 4);
  const ValueId x = b.input(dim, kIds);
  const WeightId gate = b.matrix(n_experts, dim, WeightEncoding::kF32);
  add_route(b, x, gate, n_top, b.dice.one_of({RouteScore::kSoftmax, RouteScore::kSigmoid}));
  b.submit(plain_batch(b, b.dice.between(1, 20), kIds));
  b.result.name = fmt::format("dim={} experts={} top={}", dim, n_experts, n_top);
  return std::move(b.result);
}

Case make_mixture_case(std::uint64_t seed) {
  CaseBuilder b("grouped_matmul", seed);
  const std::int32_t dim = b.dice.one_of<std::int32_t>({8, 33, 64});
  const std::int32_t ffn_dim = b.dice.one_of<std::int32_t>({5, 32, 48});
  const std::int32_t n_experts = b.dice.between(2, 8);
  const std::int32_t n_top = b.dice.between(1, std::min(3, n_experts));
  const auto encoding = b.dice.one_of({WeightEncoding::kBf16, WeightEncoding::kF16, WeightEncoding::kInt8PerRow});
  const ActQuant act =
      encoding == WeightEncoding::kInt8PerRow && b.dice.chance(0.3) ? ActQuant::kInt8PerRow : ActQuant::kNone;
  const ValueId x = b.input(dim, kIds);
  const Choice choice = add_route(b, x, b.matrix(n_experts, dim, WeightEncoding::kF32), n_top);
  add_experts(b, x, choice, {dim, ffn_dim, n_experts, n_top}, encoding, act, Epilogue::kGatedSilu, kIds);
  b.submit(plain_batch(b, b.dice.between(1, 12), kIds));
  return std::move(b.result);
}

Case make_shared_expert_case(std::uint64_t seed) {
  CaseBuilder b("shared_expert", seed);
  const std::int32_t dim = b.dice.one_of<std::int32_t>({8, 33, 64});
  const std::int32_t ffn_dim = b.dice.one_of<std::int32_t>({5, 32, 48});
  const std::int32_t n_experts = b.dice.one_of<std::int32_t>({1, 1, 2, 7});  // 1 is the shared expert of real models
  const std::int32_t n_top = b.dice.between(1, std::min(3, n_experts));
  const auto encoding = b.dice.one_of({WeightEncoding::kBf16, WeightEncoding::kF16, WeightEncoding::kInt8PerRow});
  const ActQuant act =
      encoding == WeightEncoding::kInt8PerRow && b.dice.chance(0.3) ? ActQuant::kInt8PerRow : ActQuant::kNone;
  const ValueId x = b.input(dim, kIds);
  const WeightId gate = b.matrix(n_experts, dim, WeightEncoding::kF32);
  const Choice choice = add_route(b, x, gate, n_top, RouteScore::kSigmoid);
  add_experts(b, x, choice, {dim, ffn_dim, n_experts, n_top}, encoding, act, Epilogue::kGatedSilu, kIds);
  b.submit(plain_batch(b, b.dice.one_of<std::int32_t>({1, 3, 12, 40}), kIds));
  return std::move(b.result);
}

Case make_biased_route_case(std::uint64_t seed) {
  CaseBuilder b("route_bias", seed);
  const std::int32_t dim = b.dice.one_of<std::int32_t>({7, 32, 65});
  const std::int32_t n_experts = b.dice.one_of<std::int32_t>({2, 5, 17, 128});
  const std::int32_t n_top = b.dice.between(1, std::min(4, n_experts));
  const ValueId x = b.input(dim, kIds, 2.0F);
  const WeightId gate = b.matrix(n_experts, dim, WeightEncoding::kF32);
  const auto score = b.dice.one_of({RouteScore::kSoftmax, RouteScore::kSoftmax, RouteScore::kSigmoid});
  add_route(b, x, gate, n_top, score, b.vector(n_experts, 0.0F, 3.0F));
  b.submit(plain_batch(b, b.dice.between(1, 20), kIds));
  b.result.name = fmt::format("dim={} experts={} top={}", dim, n_experts, n_top);
  return std::move(b.result);
}

Case make_grouped_route_case(std::uint64_t seed) {
  CaseBuilder b("route_groups", seed);
  const std::int32_t dim = b.dice.one_of<std::int32_t>({7, 32, 65});
  const std::int32_t n_groups = b.dice.one_of<std::int32_t>({1, 2, 4, 8});
  const std::int32_t group_size = b.dice.one_of<std::int32_t>({2, 3, 20, 32});
  const std::int32_t n_top_groups = b.dice.between(1, n_groups);
  const std::int32_t n_top = b.dice.between(1, std::min(8, n_top_groups * group_size));
  const bool is_sigmoid = b.dice.chance(0.6);
  const ValueId x = b.input(dim, kIds, 2.0F);
  Route route{.x = x,
              .gate = b.matrix(std::int64_t{n_groups} * group_size, dim, WeightEncoding::kF32),
              .score = is_sigmoid ? RouteScore::kSigmoid : RouteScore::kSoftmax,
              .n_top = n_top,
              .renormalize = b.dice.chance(0.5),
              .n_groups = n_groups,
              .n_top_groups = n_top_groups,
              .group_score = b.dice.one_of({GroupScore::kSumOfTwo, GroupScore::kLargest}),
              .scale = b.dice.one_of({1.0F, 2.5F, 16.0F}),
              .expert = b.value(n_top, Rows::kTokens, DType::kI32),
              .weight = b.value(n_top)};
  // The bias has a magnitude comparable with the sigmoids, which are between 0 and 1.
  if (is_sigmoid && b.dice.chance(0.8)) route.choice_bias = b.vector(std::int64_t{n_groups} * group_size, 0.0F, 0.4F);
  b.add(route, "route");
  b.submit(plain_batch(b, b.dice.between(1, 20), kIds));
  b.result.name = fmt::format("dim={} groups={}/{} of {} top={}{}", dim, n_top_groups, n_groups, group_size, n_top,
                              route.choice_bias ? " bias" : "");
  return std::move(b.result);
}

Case make_head_matmul_case(std::uint64_t seed) {
  CaseBuilder b("head_matmul", seed);
  b.is_exact_in_bf16 = b.dice.chance(0.5);
  const std::int32_t n_heads = b.dice.one_of<std::int32_t>({1, 2, 5, 16});
  const std::int32_t n_inputs = b.dice.one_of<std::int32_t>({8, 33, 64, 128});
  const std::int32_t n_outputs = b.dice.one_of<std::int32_t>({5, 30, 98, 136});
  const std::int32_t n_copied = b.dice.one_of<std::int32_t>({0, 0, 6, 64});
  const auto encoding = b.dice.one_of({WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kF16,
                                       WeightEncoding::kInt8PerRow, WeightEncoding::kInt8Group32});
  const ValueId x = b.input(n_heads * (n_inputs + n_copied), kIds);
  const WeightId weights = b.matrix(std::int64_t{n_heads} * n_outputs, n_inputs, encoding,
                                    std::vector<std::int64_t>(static_cast<std::size_t>(n_heads), n_outputs),
                                    n_heads > 1 ? Join::kConcatRows : Join::kNone, n_heads);
  b.add(HeadMatmul{.x = x, .weights = weights, .out = b.value(n_heads * (n_outputs + n_copied)), .n_heads = n_heads},
        "heads");
  const std::int32_t n_tokens = b.dice.one_of<std::int32_t>({1, 2, 3, 4, 17, 48, 80});
  b.submit(plain_batch(b, n_tokens, kIds));
  b.result.name = fmt::format("{} heads={} k={} n={} copied={} m={}{}", to_string(encoding), n_heads, n_inputs,
                              n_outputs, n_copied, n_tokens, b.is_exact_in_bf16 ? " exact" : "");
  return std::move(b.result);
}

Case make_biased_mixture_case(std::uint64_t seed) {
  CaseBuilder b("grouped_matmul_bias", seed);
  b.is_exact_in_bf16 = b.dice.chance(0.5);
  MixtureShape shape;
  shape.dim = b.dice.one_of<std::int32_t>({8, 33, 64, 168});
  shape.ffn_dim = b.dice.one_of<std::int32_t>({5, 32, 48, 72});
  shape.n_experts = b.dice.one_of<std::int32_t>({1, 2, 4, 8, 17});
  shape.n_top = b.dice.between(1, std::min(4, shape.n_experts));
  const auto encoding =
      b.dice.one_of({WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kF16, WeightEncoding::kInt8PerRow,
                     WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32});
  const ActQuant act =
      encoding == WeightEncoding::kInt8PerRow && b.dice.chance(0.5) ? ActQuant::kInt8PerRow : ActQuant::kNone;
  const auto first = b.dice.one_of(
      {Epilogue::kGatedClampedSwish, Epilogue::kGatedClampedSwish, Epilogue::kGatedSilu, Epilogue::kNone});
  const Choice choice = add_coarse_route(b, Spread::kAll, kIds, shape.n_experts, shape.n_top);
  const ValueId x = b.input(shape.dim, kIds);
  add_experts(b, x, choice, shape, encoding, act, first, kIds, true);
  const std::int32_t n_tokens = b.dice.one_of<std::int32_t>({1, 4, 5, 17, 48, 80});
  b.submit(plain_batch(b, n_tokens, kIds));
  b.result.name += fmt::format("{} tokens={}{}", first == Epilogue::kGatedClampedSwish ? " clamped" : "", n_tokens,
                               b.is_exact_in_bf16 ? " exact" : "");
  return std::move(b.result);
}

Case make_expert_columns_case(std::uint64_t seed) {
  CaseBuilder b("select_columns_experts", seed);
  b.is_exact_in_bf16 = b.dice.chance(0.5);
  MixtureShape shape;
  shape.dim = b.dice.one_of<std::int32_t>({8, 33, 64, 168, 352});
  shape.ffn_dim = b.dice.one_of<std::int32_t>({5, 32, 72, 300});
  shape.n_experts = b.dice.one_of<std::int32_t>({1, 2, 4, 8, 17});
  shape.n_top = b.dice.between(1, std::min(4, shape.n_experts));
  const auto spread = b.dice.one_of({Spread::kAll, Spread::kAll, Spread::kFew, Spread::kTied});
  const Choice choice = add_coarse_route(b, spread, kIds, shape.n_experts, shape.n_top);
  const ValueId x = b.input(shape.dim, kIds);
  const std::int32_t n_tokens = b.dice.one_of<std::int32_t>({1, 2, 3, 4, 5, 17, 48, 80});
  // Batches of up to four tokens do not exceed four rows with padding, because backends have other kernels for so few rows.
  const std::int32_t most_padding = n_tokens <= 4 ? std::min(2, 4 - n_tokens) : 2;
  const bool has_products = b.dice.chance(0.75);
  if (has_products) {
    const auto encoding = b.dice.one_of({WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kInt8PerRow,
                                         WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32,
                                         WeightEncoding::kInt4Group32, WeightEncoding::kInt4Group32Zero});
    const bool may_be_quantized = encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kInt8Group32;
    const ActQuant act = may_be_quantized && b.dice.chance(0.5) ? ActQuant::kInt8PerRow : ActQuant::kNone;
    const auto first = b.dice.one_of({Epilogue::kGatedSilu, Epilogue::kGatedSilu, Epilogue::kNone});
    const auto ordered = b.dice.one_of({Ordered{true, true}, Ordered{true, false}, Ordered{false, true}});
    add_experts(b, x, choice, shape, encoding, act, first, kIds, b.dice.chance(0.2), ordered);
    b.result.name += fmt::format("{}{}", ordered.first ? " up" : "", ordered.second ? " down" : "");
  } else {
    // Selects random columns, which may repeat, first from one row for all experts and then from one row per expert.
    const std::int32_t n_columns = b.dice.one_of<std::int32_t>({1, 7, 64, 300});
    const ValueId selected = b.value(shape.n_top * n_columns);
    b.add(SelectColumns{.x = x,
                        .columns = add_columns_of_experts(b, shape.n_experts, shape.dim, n_columns),
                        .out = selected,
                        .expert = choice.expert,
                        .n_top = shape.n_top},
          "select");
    const std::int32_t n_last = b.dice.one_of<std::int32_t>({1, 9, 257});
    b.add(SelectColumns{.x = selected,
                        .columns = add_columns_of_experts(b, shape.n_experts, n_columns, n_last),
                        .out = b.value(shape.n_top * n_last),
                        .expert = choice.expert,
                        .n_top = shape.n_top,
                        .x_per_expert = true},
          "select_again");
    b.result.name =
        fmt::format("k={} columns={} {} experts={} top={}", shape.dim, n_columns, n_last, shape.n_experts, shape.n_top);
  }
  b.submit(plain_batch(b, n_tokens, kIds, b.dice.between(0, most_padding)));
  b.result.name += fmt::format(" tokens={}{}", n_tokens, b.is_exact_in_bf16 ? " exact" : "");
  return std::move(b.result);
}

Case make_wide_mixture_case(std::uint64_t seed) {
  CaseBuilder b("grouped_matmul_wide", seed);
  b.is_exact_in_bf16 = b.dice.chance(0.5);
  const auto encoding =
      b.dice.one_of({WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kF16, WeightEncoding::kInt8PerRow,
                     WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32});
  const double quantized_share = encoding == WeightEncoding::kInt8PerRow    ? 0.5
                                 : encoding == WeightEncoding::kInt8Group32 ? 0.25
                                                                            : 0.0;
  const ActQuant act = b.dice.chance(quantized_share) ? ActQuant::kInt8PerRow : ActQuant::kNone;
  return wide_mixture(std::move(b), encoding, act);
}

Case make_few_rows_mixture_case(std::uint64_t seed) {
  CaseBuilder b("grouped_matmul_few", seed);
  b.is_exact_in_bf16 = b.dice.chance(0.5);
  const auto encoding =
      b.dice.one_of({WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kF16, WeightEncoding::kInt8PerRow,
                     WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32, WeightEncoding::kInt4Group32Zero,
                     WeightEncoding::kFp8PerRow, WeightEncoding::kFp8Group128, WeightEncoding::kMxfp4Group32,
                     WeightEncoding::kNvfp4Group16});
  const bool may_be_quantized = encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kInt8Group32 ||
                                encoding == WeightEncoding::kNvfp4Group16 || has_fp8_codes(encoding);
  const ActQuant act = may_be_quantized && b.dice.chance(0.5) ? activations_for(encoding) : ActQuant::kNone;
  struct Extents {
    std::int32_t dim;
    std::int32_t ffn_dim;
  };
  const auto [dim, ffn_dim] =
      b.dice.one_of({Extents{4352, 6}, Extents{6, 4352}, Extents{4200, 10}, Extents{640, 33}, Extents{33, 640}});
  MixtureShape shape{.dim = dim, .ffn_dim = ffn_dim, .n_experts = b.dice.one_of<std::int32_t>({2, 5, 9})};
  shape.n_top = b.dice.chance(0.4) ? shape.n_experts : b.dice.between(1, shape.n_experts);
  const auto first = b.dice.one_of({Epilogue::kGatedSilu, Epilogue::kGatedGelu, Epilogue::kNone});
  const std::int32_t n_tokens = b.dice.between(1, 3);
  const Choice choice = add_coarse_route(b, Spread::kAll, kIds, shape.n_experts, shape.n_top);
  const ValueId x = b.input(shape.dim, kIds);
  add_experts(b, x, choice, shape, encoding, act, first, kIds);
  b.submit(plain_batch(b, n_tokens, kIds));
  b.result.name += fmt::format(" {} tokens={}{}", first == Epilogue::kNone ? "plain" : "gated", n_tokens,
                               b.is_exact_in_bf16 ? " exact" : "");
  return std::move(b.result);
}

Case make_quantized_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_w8a8", seed, WeightEncoding::kInt8PerRow,
                           seed % 3 == 0 ? ActQuant::kInt8PerRow : ActQuant::kInt8Static);
}

Case make_quantized_group_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_g32_w8a8", seed, WeightEncoding::kInt8Group32, ActQuant::kInt8PerRow);
}

Case make_quantized_int4_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_int4_w8a8", seed, WeightEncoding::kInt4Group32, ActQuant::kInt8PerRow);
}

Case make_fp8_group_mixture_case(std::uint64_t seed) {
  constexpr std::array kActs = {ActQuant::kFp8PerGroup128, ActQuant::kFp8PerGroup128E8m0, ActQuant::kNone};
  return quantized_mixture("grouped_matmul_fp8_g128", seed, WeightEncoding::kFp8Group128, kActs[seed % kActs.size()]);
}

Case make_int4_zero_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_int4_zp", seed, WeightEncoding::kInt4Group32Zero, ActQuant::kNone);
}

Case make_q4_k_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_q4_k", seed, WeightEncoding::kQ4K, ActQuant::kNone);
}

Case make_q5_k_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_q5_k", seed, WeightEncoding::kQ5K, ActQuant::kNone);
}

Case make_q6_k_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_q6_k", seed, WeightEncoding::kQ6K, ActQuant::kNone);
}

Case make_gguf_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_gguf", seed, other_block_encoding(seed), ActQuant::kNone);
}

Case make_mxfp4_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_mxfp4", seed, WeightEncoding::kMxfp4Group32, ActQuant::kNone);
}

Case make_nvfp4_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_nvfp4", seed, WeightEncoding::kNvfp4Group16,
                           seed % 2 == 0 ? ActQuant::kNvfp4Static : ActQuant::kNone);
}

Case make_fp8_mixture_case(std::uint64_t seed) {
  return quantized_mixture("grouped_matmul_fp8", seed, WeightEncoding::kFp8PerRow,
                           seed % 3 == 2   ? ActQuant::kNone
                           : seed % 3 == 1 ? ActQuant::kFp8Static
                                           : ActQuant::kFp8PerRow);
}

}  // namespace secondsource::conformance
