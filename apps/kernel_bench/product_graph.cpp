#include "product_graph.h"

#include <fmt/format.h>

#include <cmath>

#include "core/e2m1.h"
#include "core/e4m3.h"

namespace secondsource::kernel_bench {

float scale_of_normal_inputs(ActQuant act) {
  constexpr float kLargestInput = 8.0F;
  if (!has_stored_scale(act)) return 0.0F;
  const float largest_code = act == ActQuant::kNvfp4Static  ? kE2m1Max * kE4m3Max
                             : act == ActQuant::kInt8Static ? 127.0F
                                                            : kE4m3Max;
  return kLargestInput / largest_code;
}

StepGraph product_graph(const MatmulShape& shape, ActQuant act, WeightId inputs, const std::vector<WeightId>& copies,
                        std::int64_t n_columns) {
  StepGraph graph;
  graph.values.push_back({.cols = static_cast<std::int32_t>(shape.k)});
  graph.ops.emplace_back(Embed{inputs, ValueId{0}, std::sqrt(static_cast<float>(shape.k))});
  graph.labels.emplace_back("inputs");
  for (std::size_t copy = 0; copy < copies.size(); ++copy) {
    const auto out = ValueId{static_cast<std::int32_t>(graph.values.size())};
    graph.values.push_back({.cols = static_cast<std::int32_t>(n_columns), .observed = copy == 0});
    Matmul matmul{.x = ValueId{0}, .weight = copies[copy], .out = out};
    matmul.act = act;
    matmul.act_scale = scale_of_normal_inputs(act);
    graph.ops.emplace_back(matmul);
    graph.labels.push_back(fmt::format("product.{}", copy));
  }
  return graph;
}

}  // namespace secondsource::kernel_bench
