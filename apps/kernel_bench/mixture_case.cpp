#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/checked.h"
#include "harness.h"
#include "harness_support.h"
#include "product_graph.h"
#include "random_weight.h"
#include "timed_step.h"

namespace secondsource::kernel_bench {
namespace {

constexpr std::int32_t kMaxRows = 512;
constexpr std::int64_t kCheckedRows = 8;
constexpr std::int64_t kCheckedColumns = 64;
constexpr std::uint64_t kInputSeed = 7;
constexpr std::uint64_t kGateSeed = 8;
constexpr std::uint64_t kFirstExpertSeed = 100;

// Values of the graph, and the index of the product among its operations.
constexpr ValueId kX{0};
constexpr ValueId kExpert{1};
constexpr ValueId kShare{2};
constexpr ValueId kOut{3};
constexpr std::int32_t kProductOp = 2;

/// Columns of x: in the second product a row has k of them for each of its experts.
std::int64_t x_columns(const MixtureShape& shape) {
  return shape.is_second ? shape.n_top * shape.k : shape.k;
}

/// Embed, the router, and the product, to which each expert contributes `n_columns`.
StepGraph mixture_graph(const MixtureShape& shape, ActQuant act, const std::vector<WeightId>& weights,
                        std::int64_t n_columns) {
  const auto x_cols = static_cast<std::int32_t>(x_columns(shape));
  const std::int64_t out_columns = shape.is_second ? n_columns : shape.n_top * n_columns;
  StepGraph graph;
  graph.values = {{.cols = x_cols},
                  {.dtype = DType::kI32, .cols = shape.n_top, .observed = true},
                  {.cols = shape.n_top},
                  {.cols = static_cast<std::int32_t>(out_columns), .observed = true}};
  // Scaled to inputs with a standard deviation of 1.
  graph.ops.emplace_back(Embed{weights[0], kX, std::sqrt(static_cast<float>(x_cols))});
  graph.ops.emplace_back(Route{
      .x = kX, .gate = weights[1], .n_top = shape.n_top, .renormalize = true, .expert = kExpert, .weight = kShare});
  GroupedMatmul product{.x = kX, .expert = kExpert, .weights = weights[2], .out = kOut, .n_top = shape.n_top};
  product.act = act;
  product.act_scale = scale_of_normal_inputs(act);
  if (shape.is_second) product.weight = kShare;
  graph.ops.emplace_back(product);
  graph.labels = {"inputs", "route", "product"};
  return graph;
}

/// The weight of each expert: all of its rows, or the sampled ones.
using Experts = std::vector<std::shared_ptr<const WeightSource>>;

Result<std::vector<WeightId>> prepare_weights(Backend& backend, const MixtureShape& shape,
                                              const ProductVariant& variant, const Experts& experts,
                                              std::int64_t n_columns) {
  const std::int64_t x_cols = x_columns(shape);
  const auto f32 = [&](std::uint64_t seed) {
    return std::make_shared<RandomWeight>(WeightEncoding::kF32, x_cols, seed);
  };
  SS_TRY(const WeightId inputs,
         backend.prepare_weight(matrix_spec("inputs", kMaxRows, x_cols, WeightEncoding::kF32, f32(kInputSeed))));
  SS_TRY(const WeightId gate,
         backend.prepare_weight(matrix_spec("gate", shape.n_experts, x_cols, WeightEncoding::kF32, f32(kGateSeed))));
  WeightSpec spec{.name = "experts",
                  .n_rows = shape.n_experts * n_columns,
                  .n_cols = shape.k,
                  .encoding = variant.encoding,
                  .parts = {},
                  .join = Join::kConcatRows,
                  .n_experts = shape.n_experts};
  for (const auto& expert : experts) spec.parts.push_back({n_columns, expert});
  SS_TRY(const WeightId weights, backend.prepare_weight(spec));
  return std::vector<WeightId>{inputs, gate, weights};
}

Experts random_experts(const MixtureShape& shape, const ProductVariant& variant) {
  Experts experts;
  for (std::int32_t expert = 0; expert < shape.n_experts; ++expert) {
    experts.push_back(std::make_shared<RandomWeight>(variant.encoding, shape.k,
                                                     kFirstExpertSeed + static_cast<std::uint64_t>(expert)));
  }
  return experts;
}

struct Results {
  std::vector<float> experts;  ///< [rows, n_top]
  std::vector<float> out;
};

/// The reference's results at the sampled rows and columns.
Result<Results> expected_results(const MakeBackend& reference, const MixtureShape& shape, const ProductVariant& variant,
                                 const Experts& experts, const std::vector<std::int64_t>& rows,
                                 const std::vector<std::int64_t>& columns) {
  SS_TRY(const std::unique_ptr<Backend> backend, reference());
  Experts picked;
  for (const auto& expert : experts) {
    picked.push_back(std::make_shared<PickedRows>(expert, columns, variant.encoding, shape.k));
  }
  const auto n_columns = static_cast<std::int64_t>(columns.size());
  SS_TRY(const std::vector<WeightId> weights, prepare_weights(*backend, shape, variant, picked, n_columns));
  SS_TRY(const KvPoolId pool, smallest_pool(*backend));
  const OwnedBatch batch = rows_batch(rows);
  const StepGraph graph = mixture_graph(shape, variant.act, weights, n_columns);
  SS_TRY(const std::unique_ptr<Step> step, backend->compile(graph, batch.bucket(), pool, GroupTiming::kOff));
  SS_TRY(const StepResult done, run_step(*backend, *step, batch));
  (void)done;
  Results results;
  SS_TRY(results.experts, step->read_value(kExpert));
  SS_TRY(results.out, step->read_value(kOut));
  return results;
}

Result<void> verify(const MakeBackend& reference, const MixtureShape& shape, const ProductVariant& variant,
                    const Experts& experts, const Results& all, std::int32_t m) {
  const std::vector<std::int64_t> rows = sample_of(m, kCheckedRows);
  const std::vector<std::int64_t> columns = sample_of(shape.n, kCheckedColumns);
  SS_TRY(const Results expected, expected_results(reference, shape, variant, experts, rows, columns));
  const std::string what = fmt::format("experts k={} n={} m={}", shape.k, shape.n, m);
  const auto n_top = static_cast<std::size_t>(shape.n_top);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t j = 0; j < n_top; ++j) {
      if (all.experts[static_cast<std::size_t>(rows[r]) * n_top + j] == expected.experts[r * n_top + j]) continue;
      return Error{ErrorCode::kInternal, fmt::format("WRONG {}: row {} has other experts", what, rows[r])};
    }
  }
  const RandomWeight inputs(WeightEncoding::kF32, x_columns(shape), kInputSeed);
  SS_TRY(const std::vector<double> x_norms, row_norms(inputs, WeightEncoding::kF32, x_columns(shape), rows));
  std::vector<double> w_norms(columns.size(), 0.0);  // the largest of any expert
  for (const auto& expert : experts) {
    SS_TRY(const std::vector<double> norms, row_norms(*expert, variant.encoding, shape.k, columns));
    std::ranges::transform(norms, w_norms, w_norms.begin(), [](double a, double b) { return std::max(a, b); });
  }
  // As for a product of one weight (matmul_case.cpp). In the second product Embed scales the inputs for n_top * k
  // columns, of which each expert gets k, hence sqrt(n_top); the shares that add up a row's experts sum to 1.
  const double unit = 8.0 * 2.0 * 0x1p-9 * (shape.is_second ? std::sqrt(static_cast<double>(n_top)) : 1.0);
  const std::size_t n_parts = shape.is_second ? 1 : n_top;
  std::vector<float> found;
  std::vector<double> tolerance;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t part = 0; part < n_parts; ++part) {
      const std::size_t begin =
          (static_cast<std::size_t>(rows[r]) * n_parts + part) * static_cast<std::size_t>(shape.n);
      for (std::size_t c = 0; c < columns.size(); ++c) {
        found.push_back(all.out[begin + static_cast<std::size_t>(columns[c])]);
        tolerance.push_back(unit * x_norms[r] * w_norms[c]);
      }
    }
  }
  return check_close(found, expected.out, tolerance, what);
}

}  // namespace

Result<std::unique_ptr<PreparedCase>> prepare_mixture(const MakeBackend& make, const MixtureShape& shape,
                                                      const ProductVariant& variant, std::int32_t m,
                                                      const MakeBackend& reference) {
  SS_TRY(std::unique_ptr<Backend> backend, make());
  const Experts experts = random_experts(shape, variant);
  SS_TRY(const std::vector<WeightId> weights, prepare_weights(*backend, shape, variant, experts, shape.n));
  SS_TRY(const KvPoolId pool, smallest_pool(*backend));
  OwnedBatch batch = rows_batch(first_rows(m));
  const StepGraph graph = mixture_graph(shape, variant.act, weights, shape.n);
  for (const Op& op : graph.ops) {
    const Support support = backend->supports(op, graph.values);
    if (!support.supported) return Error{ErrorCode::kUnsupported, support.reason};
  }
  SS_TRY(TimedStep step, TimedStep::prepare(*backend, graph, kProductOp, std::move(batch), pool));
  SS_TRY_VOID(step.run());
  Results results;
  SS_TRY(results.experts, step.step().read_value(kExpert));
  SS_TRY(results.out, step.step().read_value(kOut));
  SS_TRY_VOID(verify(reference, shape, variant, experts, results, m));
  const std::set<float> chosen(results.experts.begin(), results.experts.end());
  const double bytes = static_cast<double>(chosen.size()) * encoded_bytes(variant.encoding, shape.n, shape.k);
  const OperationWork work{.bytes = bytes,
                           .flops = 2.0 * m * shape.n_top * static_cast<double>(shape.n) * static_cast<double>(shape.k),
                           .working_set_bytes = bytes};
  return std::make_unique<PreparedCase>(std::move(backend), std::move(step), work);
}

}  // namespace secondsource::kernel_bench
