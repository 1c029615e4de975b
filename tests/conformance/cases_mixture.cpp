#include <fmt/format.h>

#include "conformance/build.h"
#include "conformance/cases.h"

namespace secondsource::conformance {
namespace {

constexpr std::int32_t kIds = 23;

struct Choice {
  ValueId expert;
  ValueId weight;
};

Choice add_route(CaseBuilder& b, ValueId x, std::int32_t dim, std::int32_t n_experts, std::int32_t n_top) {
  const WeightId gate = b.matrix(n_experts, dim, WeightEncoding::kF32);
  const Choice choice{b.value(n_top, Rows::kTokens, DType::kI32), b.value(n_top)};
  b.add(Route{.x = x,
              .gate = gate,
              .n_top = n_top,
              .renormalize = b.dice.chance(0.5),
              .expert = choice.expert,
              .weight = choice.weight},
        "route");
  return choice;
}

}  // namespace

Case make_route_case(std::uint64_t seed) {
  CaseBuilder b("route", seed);
  const std::int32_t dim = b.dice.one_of<std::int32_t>({7, 32, 65});
  const std::int32_t n_experts = b.dice.between(2, 17);
  const std::int32_t n_top = b.dice.between(1, std::min(4, n_experts));
  const ValueId x = b.input(dim, kIds, 2.0F);
  add_route(b, x, dim, n_experts, n_top);
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
  const Choice choice = add_route(b, x, dim, n_experts, n_top);
  const WeightId gate_up = b.matrix(std::int64_t{n_experts} * 2 * ffn_dim, dim, encoding,
                                    std::vector<std::int64_t>(static_cast<std::size_t>(2 * n_experts), ffn_dim),
                                    Join::kInterleaveGateUp, n_experts);
  const WeightId down =
      b.matrix(std::int64_t{n_experts} * dim, ffn_dim, encoding,
               std::vector<std::int64_t>(static_cast<std::size_t>(n_experts), dim), Join::kConcatRows, n_experts);
  const ValueId hidden = b.value(n_top * ffn_dim);
  b.add(GroupedMatmul{.x = x,
                      .expert = choice.expert,
                      .weight = {},
                      .weights = gate_up,
                      .out = hidden,
                      .n_top = n_top,
                      .act = act,
                      .epilogue = Epilogue::kGatedSilu,
                      .aux = {}},
        "gate_up");
  GroupedMatmul second{.x = hidden,
                       .expert = choice.expert,
                       .weight = choice.weight,
                       .weights = down,
                       .out = {},
                       .n_top = n_top,
                       .act = act,
                       .epilogue = Epilogue::kNone,
                       .aux = {}};
  const bool residual = b.dice.chance(0.6);
  if (residual) {
    second.epilogue = Epilogue::kAddResidual;
    second.aux = b.input(dim, kIds);
  }
  second.out = residual && b.dice.chance(0.5) ? *second.aux : b.value(dim);
  b.add(second, "down");
  b.submit(plain_batch(b, b.dice.between(1, 12), kIds));
  b.result.name = fmt::format("{} dim={} ffn={} experts={} top={}{}{}", to_string(encoding), dim, ffn_dim, n_experts,
                              n_top, act == ActQuant::kNone ? "" : " w8a8", residual ? " residual" : "");
  return std::move(b.result);
}

}  // namespace secondsource::conformance
